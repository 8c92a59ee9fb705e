//! Messages: what is answered, what may be asked of the model.

use chat_test_support::{Answer, Reply};
use reqwest::Method;
use serde_json::{Value, json};

use crate::scene::{Scene, assert_error, field_errors, is_time, keys, launch, message, pairs, said};

#[tokio::test]
async fn an_answer_is_what_the_contract_shows() {
    let scene = Scene::start().await;
    let session = scene.client.create_session().await;
    scene.upstream.push(Reply::text("Hello yourself.").with_usage(1, 1));
    let answer = scene.post(&session, message("Hello!")).await.expect(200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let body = &answer.body;
    assert_eq!(keys(body), ["history", "message", "session_id", "usage"]);
    assert_eq!(body["session_id"], session.as_str());
    let at = &body["message"]["created_at"];
    assert!(is_time(at), "{at}");
    let metadata = json!({"finish_reason": "stop"});
    let said_back = json!({"role": "assistant", "content": "Hello yourself.", "created_at": at, "metadata": metadata});
    assert_eq!(body["message"], said_back);
    assert_eq!(body["usage"], json!({"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}));
    assert_eq!(said(&body["history"]), pairs(&[("user", "Hello!"), ("assistant", "Hello yourself.")]));
    assert_eq!(body["history"][1], said_back);
    let read = scene.client.get(&format!("/sessions/{session}")).await.expect(200);
    assert_eq!(read.body["history"], body["history"]);
}

#[tokio::test]
async fn usage_is_what_the_backend_reports() {
    let scene = Scene::start().await;
    let session = scene.client.create_session().await;
    let detailed = json!({"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7, "cost": 0.00015,
        "prompt_tokens_details": {"cached_tokens": 2}});
    for (reply, expected) in [
        (Reply::text("a").without_usage(), Value::Null),
        (Reply::text("a").with_usage_object(Value::Null), Value::Null),
        (Reply::text("a").with_usage_object(detailed.clone()), detailed),
    ] {
        scene.upstream.push(reply);
        let answer = scene.post(&session, message("x")).await.expect(200);
        assert_eq!(answer.body["usage"], expected);
    }
}

#[tokio::test]
async fn the_finish_reason_is_told_and_remembered() {
    let scene = Scene::start().await;
    let session = scene.client.create_session().await;
    for reason in ["stop", "length", "content_filter", "a_new_one"] {
        scene.upstream.push(Reply::text("cut sho").with_finish(reason));
        let answer = scene.post(&session, message("x")).await.expect(200);
        assert_eq!(answer.body["message"]["metadata"], json!({"finish_reason": reason}));
        let memory = scene.client.get(&format!("/sessions/{session}")).await.expect(200);
        let last = memory.body["history"].as_array().and_then(|history| history.last().cloned());
        assert_eq!(last.expect("remembered")["metadata"], json!({"finish_reason": reason}));
    }
}

#[tokio::test]
async fn allowed_options_are_passed_on_as_they_are() {
    let scene = Scene::with(&[("ALLOWED_OPTIONS", "web_search_options, service_tier")]).await;
    let session = scene.client.create_session().await;
    let options = json!({
        "model": "vendor/some-model:free", "temperature": 0.10, "top_p": 1, "top_k": 40, "min_p": 0.05, "top_a": 0.2,
        "max_tokens": 100, "max_completion_tokens": 200, "stop": ["\n", "stop"], "seed": 9007199254740993u64,
        "frequency_penalty": -0.5, "presence_penalty": 0.5, "repetition_penalty": 1.1, "logit_bias": {"50256": -100},
        "logprobs": true, "top_logprobs": 2, "response_format": {"type": "json_schema", "json_schema": {"name": "a"}},
        "structured_outputs": true, "reasoning": {"effort": "high", "exclude": false}, "reasoning_effort": "low",
        "include_reasoning": false, "verbosity": "low", "modalities": ["text"],
        "transforms": ["middle-out"], "metadata": {"trace": "1"}, "web_search_options": {"a": {}}, "service_tier": "x",
    });
    scene.post(&session, json!({"content": "hello", "options": options})).await.expect(200);
    let sent = scene.upstream.last_request().body;
    for (name, value) in options.as_object().expect("an object") {
        assert_eq!(&sent[name], value, "{name}");
    }
    assert_eq!(sent["messages"], json!([{"role": "user", "content": "hello"}]));

    // Backends refuse this one where no tools are offered.
    let without_tools = json!({"content": "hello", "options": {"parallel_tool_calls": false}});
    scene.post(&session, without_tools).await.expect(200);
    assert!(scene.upstream.last_request().body.get("parallel_tool_calls").is_none());

    // They are one message's. And `null` is an option that was not given, known or not.
    scene.post(&session, json!({"content": "hello", "options": {"seed": null, "unheard_of": null}})).await.expect(200);
    let sent = scene.upstream.last_request().body;
    assert_eq!(sent["model"], "openrouter/auto");
    assert!(sent.get("seed").is_none() && sent.get("unheard_of").is_none() && sent.get("temperature").is_none());
}

#[tokio::test]
async fn other_options_are_refused_by_name() {
    // What decides who answers, who pays or what was said is refused whatever is configured.
    let never = "messages,prompt,tools,tool_choice,functions,function_call,stream,stream_options,n,user,provider,\
                 models,route,plugins,preset,api_key,base_url,instruction,server_names";
    let scene = Scene::with(&[("ALLOWED_OPTIONS", never)]).await;
    let session = scene.client.create_session().await;
    for name in never.split(',').chain(["unheard_of", "Temperature", ""]) {
        let answer = scene.post(&session, json!({"content": "x", "options": {name: "sentinel-value"}})).await;
        assert_error(&answer, 422, "validation_error");
        let errors = field_errors(&answer);
        assert_eq!((errors.len(), errors[0].0.as_str()), (1, format!("options.{name}").as_str()));
        assert!(!answer.text.contains("sentinel-value"), "{}", answer.text);
    }
    // All of them at once.
    let options = json!({"stream": true, "temperature": 1, "whatever": 1});
    let answer = scene.post(&session, json!({"content": "x", "options": options})).await;
    let mut paths: Vec<String> = field_errors(&answer).into_iter().map(|(path, _)| path).collect();
    paths.sort();
    assert_eq!(paths, ["options.stream", "options.whatever"]);
    for none in [json!("text"), json!([]), json!(1)] {
        let answer = scene.post(&session, json!({"content": "x", "options": none})).await;
        assert_error(&answer, 422, "validation_error");
        assert_eq!(field_errors(&answer)[0].0, "options");
    }
    assert_eq!(scene.upstream.requests().len(), 0);
}

#[tokio::test]
async fn models_can_be_bounded() {
    let scene = Scene::with(&[("ALLOWED_MODELS", "vendor/small, vendor/large"), ("OPENROUTER_MODEL", "vendor/own")]);
    let scene = scene.await;
    let session = scene.client.create_session().await;
    let with_model =
        async |model: Value| scene.post(&session, json!({"content": "x", "options": {"model": model}})).await;
    for model in ["vendor/small", "vendor/large"] {
        with_model(json!(model)).await.expect(200);
        assert_eq!(scene.upstream.last_request().body["model"], model);
    }
    for refused in [json!("vendor/huge"), json!("vendor/small "), json!(""), json!(1)] {
        let answer = with_model(refused).await;
        assert_error(&answer, 422, "validation_error");
        assert_eq!(field_errors(&answer)[0].0, "options.model");
    }
    // The operator's own model need not be on the list that clients choose from.
    scene.post(&session, message("x")).await.expect(200);
    assert_eq!(scene.upstream.last_request().body["model"], "vendor/own");
}

#[tokio::test]
async fn clients_speak_as_users_or_assistants() {
    let scene = Scene::start().await;
    let session = scene.client.create_session().await;
    for role in ["user", "assistant"] {
        let answer = scene.post(&session, json!({"content": "I am me", "role": role, "memory_limit": 2})).await;
        let history = said(&answer.expect(200).body["history"]);
        assert_eq!(history[0], (role.to_owned(), "I am me".to_owned()));
        let sent = scene.upstream.last_request();
        assert_eq!(sent.conversation().last(), Some(&(role, "I am me")));
    }
    scene.post(&session, json!({"content": "x", "role": null})).await.expect(200);
    let asked = scene.upstream.requests().len();
    for role in ["system", "developer", "tool", "User", "", "function"] {
        let answer = scene.post(&session, json!({"content": "x", "role": role})).await;
        assert_error(&answer, 422, "validation_error");
        assert_eq!(field_errors(&answer)[0].0, "role", "{role}");
    }
    assert_error(&scene.post(&session, json!({"content": "x", "role": 1})).await, 422, "validation_error");
    assert_eq!(scene.upstream.requests().len(), asked);
}

#[tokio::test]
async fn content_is_a_string_that_says_something() {
    let scene = Scene::start().await;
    let session = scene.client.create_session().await;
    for (body, reason) in [
        (json!({}), "Field required"),
        (json!({"content": null}), "Field required"),
        // The field of old snippets, which the seed warns of.
        (json!({"message": "hello"}), "Field required"),
        (json!({"content": ""}), "String should have at least 1 character"),
        (json!({"content": 5}), "Input should be a valid string"),
        (json!({"content": ["hello"]}), "Input should be a valid string"),
        (json!({"content": {"text": "hello"}}), "Input should be a valid string"),
        (json!({"content": true}), "Input should be a valid string"),
    ] {
        let answer = scene.post(&session, body.clone()).await;
        assert_error(&answer, 422, "validation_error");
        assert_eq!(field_errors(&answer), pairs(&[("content", reason)]), "{body}");
        let message = format!("Request validation failed: content: {reason}");
        assert_eq!(answer.body["error"]["message"], message);
    }
    let answer = scene.post(&session, json!({"content": "x", "temperature": 2, "stream": true})).await.expect(200);
    assert_eq!(answer.content(), "echo: x", "fields that nobody knows are ignored");
    assert!(scene.upstream.last_request().body.get("temperature").is_none());
}

#[tokio::test]
async fn a_tool_that_nobody_has_cannot_be_forced() {
    let scene = Scene::start().await;
    let session = scene.client.create_session().await;
    let answer = scene.post(&session, json!({"content": "x", "options": {"tool_name": "summarise"}})).await;
    assert_error(&answer, 422, "unknown_tool");
    assert_eq!(answer.body["error"]["details"], json!({"known": []}));
    let answer = scene.post(&session, json!({"content": "x", "options": {"tool_name": 5}})).await;
    assert_error(&answer, 422, "validation_error");
    assert_eq!(field_errors(&answer)[0].0, "options.tool_name");
    assert_eq!(scene.upstream.requests().len(), 0);
    assert_eq!(scene.memory(&session).await, []);
}

#[tokio::test]
async fn without_credentials_the_answer_says_which_variable_to_set() {
    for (variables, named) in [
        (&[][..], "OPENROUTER_KEY"),
        (&[("MCP_AGENT_LLM", "openai"), ("MCP_AGENT_MODEL", "m")], "OPENAI_API_KEY"),
        (&[("DEFAULT_PROVIDER", "unconfigured"), ("OPENROUTER_KEY", "k")], "DEFAULT_PROVIDER"),
    ] {
        let service = launch().envs(variables.iter().copied()).start().await;
        let client = service.client();
        // All but the answer works.
        let session = client.create_session().await;
        for answer in
            [client.say(&session, "hello").await, *client.say_streaming(&session, "hello").await.expect_err("none")]
        {
            assert_error(&answer, 503, "provider_unconfigured");
            let message = answer.body["error"]["message"].as_str().expect("a message");
            assert!(message.contains(named), "{message}");
        }
        let read = client.get(&format!("/sessions/{session}")).await.expect(200);
        assert_eq!(read.body["history"], json!([]));
    }
}

#[tokio::test]
async fn the_backend_is_asked_as_it_wants_to_be() {
    let variables = [("OPENROUTER_MODEL", "vendor/model"), ("MCP_AGENT_APP_NAME", "the shop's assistant")];
    let scene = Scene::with(&variables).await;
    let session = scene.client.with_header("authorization", "Bearer the-clients-own").create_session().await;
    scene.post(&session, message("hello")).await.expect(200);
    let sent = scene.upstream.last_request();
    assert_eq!((sent.method.as_str(), sent.path.as_str()), ("POST", "/v1/chat/completions"));
    assert_eq!(sent.bearer(), Some(crate::scene::KEY));
    assert_eq!(sent.header("x-title"), Some("the shop's assistant"));
    assert_eq!(sent.body["model"], "vendor/model");
    assert!(sent.tool_names().is_empty() && !sent.wants_stream());
}

#[tokio::test]
async fn an_instruction_for_the_model_changes_the_model() {
    // MCP_AGENT_MODEL wins over OPENROUTER_MODEL, and a client's choice over both.
    let scene = Scene::with(&[("OPENROUTER_MODEL", "vendor/a"), ("MCP_AGENT_MODEL", "vendor/b")]).await;
    let session = scene.client.create_session().await;
    scene.post(&session, message("x")).await.expect(200);
    assert_eq!(scene.upstream.last_request().body["model"], "vendor/b");
    scene.post(&session, json!({"content": "x", "options": {"model": "vendor/c"}})).await.expect(200);
    assert_eq!(scene.upstream.last_request().body["model"], "vendor/c");
}

/// Most requests take a shorter way than those that spell their path as nobody does; it leads to the same place.
#[tokio::test]
async fn a_message_is_the_same_however_its_path_is_spelled() {
    let scene = Scene::with(&[("API_KEYS", "k"), ("MAX_BODY_BYTES", "1000"), ("ALLOWED_MODELS", "m")]).await;
    let client = scene.client.with_header("x-api-key", "k").with_header("x-request-id", "same");
    let session = client.create_session().await;
    let spellings = [
        session.clone(),
        session.to_uppercase(),
        session.replace('-', ""),
        format!("%{:x}{}", session.as_bytes()[0], &session[1..]),
    ];
    let bodies = [
        ("application/json", "{}".to_owned()),
        ("application/json", "{".to_owned()),
        ("application/json", String::new()),
        ("text/plain", r#"{"content": "x"}"#.to_owned()),
        ("application/json", r#"{"content": "x", "content": "x"}"#.to_owned()),
        ("application/json", r#"{"content": "x", "role": "system", "options": {"model": "n"}}"#.to_owned()),
        ("application/json", r#"{"content": "x", "memory_limit": 51}"#.to_owned()),
        ("application/json", r#"{"content": "x", "options": {"model": "n", "stream": true}}"#.to_owned()),
        ("application/json", r#"{"content": "x", "options": {"tool_name": "none"}}"#.to_owned()),
        ("application/json", format!(r#"{{"content": "{}"}}"#, "x".repeat(1000))),
        ("application/json", format!(r#"{{"a": {}{}}}"#, "[".repeat(40), "]".repeat(40))),
    ];
    for accept in ["application/json", "text/event-stream"] {
        for (kind, body) in &bodies {
            let mut answers = Vec::new();
            for spelling in &spellings {
                let request = client.request(Method::POST, &format!("/sessions/{spelling}/messages"));
                let request = request.header("content-type", *kind).header("accept", accept);
                let answer = Answer::of(request.body(body.clone())).await;
                assert_error(&answer, answer.status, answer.code());
                answers.push((answer.status, answer.text));
            }
            assert!(answers.iter().all(|answer| *answer == answers[0]), "{body}: {answers:#?}");
        }
    }
    for spelling in &spellings {
        let answer = client.say(spelling, "hello").await.expect(200);
        assert_eq!((&answer.body["session_id"], answer.content()), (&json!(session), "echo: hello"));
        let request = scene.client.request(Method::POST, &format!("/sessions/{spelling}/messages"));
        assert_error(&Answer::of(request.json(&message("hello"))).await, 401, "missing_api_key");
    }
    assert_eq!(scene.upstream.requests().len(), spellings.len());
}
