//! What OpenTelemetry's variables mean.

use secrecy::ExposeSecret;

use super::*;

fn endpoint(pairs: &[(&str, &str)]) -> String {
    settings(pairs).traces.endpoint.expect("an endpoint").expose_secret().to_owned()
}

#[test]
fn spans_go_below_the_collector_or_to_the_address_for_traces() {
    let base = "OTEL_EXPORTER_OTLP_ENDPOINT";
    assert_eq!(endpoint(&[(base, "http://h:4318")]), "http://h:4318/v1/traces");
    assert_eq!(endpoint(&[(base, "https://h/otlp/")]), "https://h/otlp/v1/traces");
    let own = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://t/api/traces");
    assert_eq!(endpoint(&[(base, "http://h:4318"), own]), "http://t/api/traces");
    assert_eq!(endpoint(&[own]), "http://t/api/traces");
}

#[test]
fn headers_are_decoded_and_secret() {
    let loaded = env(&[("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Basic%20dTpw, x-team=a=b%2Cc")]).expect("fine");
    let headers: Vec<_> =
        loaded.settings.traces.headers.iter().map(|(name, value)| (name.as_str(), value.expose_secret())).collect();
    assert_eq!(headers, [("authorization", "Basic dTpw"), ("x-team", "a=b,c")]);
    assert_eq!(effective(&loaded, "OTEL_EXPORTER_OTLP_HEADERS").value, "***");
    assert!(!format!("{:?}", loaded.settings).contains("dTpw"));
}

#[test]
fn a_sampler_is_a_share_and_whether_the_caller_decides() {
    let sampling = |sampler: &str, arg: &str| {
        settings(&[("OTEL_TRACES_SAMPLER", sampler), ("OTEL_TRACES_SAMPLER_ARG", arg)]).traces.sampling
    };
    for (sampler, follow_parent, share) in [
        ("always_on", false, 1.0),
        ("always_off", false, 0.0),
        ("traceidratio", false, 0.25),
        ("parentbased_always_on", true, 1.0),
        ("parentbased_always_off", true, 0.0),
        ("parentbased_traceidratio", true, 0.25),
    ] {
        assert_eq!(sampling(sampler, "0.25"), Sampling { follow_parent, share }, "{sampler}");
    }
}
