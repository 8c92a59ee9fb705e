//! A page in a browser, and what a reader can do with it.

mod hands;

use std::{
    cell::RefCell,
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

use chat_test_support::browser::{BrowserPlace, Driver, axe};
use fantoccini::{
    Client, ClientBuilder, Locator,
    elements::Element,
    wd::{Capabilities, WebDriverCompatibleCommand},
};
use futures_util::FutureExt;
use reqwest::{Method, Url};
use serde_json::{Value, json};

/// What a page may take for what it should do at once: far more than it needs on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// How the reader has set up the browser.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader {
    /// `navigator.languages`, joined by commas.
    pub(crate) languages: &'static str,
    pub(crate) is_dark: bool,
    pub(crate) width: u32,
}

impl Reader {
    pub(crate) const ENGLISH: Self = Self { languages: "en-US,en", is_dark: false, width: 1280 };
    pub(crate) const PERSIAN: Self = Self { languages: "fa-IR,fa,en", is_dark: false, width: 1280 };

    pub(crate) const fn in_the_dark(self) -> Self {
        Self { is_dark: true, ..self }
    }

    /// With a telephone in hand.
    pub(crate) const fn on_the_phone(self) -> Self {
        Self { width: 360, ..self }
    }
}

/// A tab of a browser.
pub(crate) struct Page {
    client: Client,
    /// Errors on the console that are part of the test: any text that they contain.
    expected: RefCell<Vec<String>>,
}

/// Runs a test in a new browser, ends the browser whatever happens, and fails when the console tells of an error.
pub(crate) async fn browse(reader: Reader, test: impl AsyncFnOnce(&Page)) {
    let place = BrowserPlace::take().await;
    let Value::Object(capabilities) = place.capabilities(reader.languages) else { unreachable!("an object") };
    let capabilities: Capabilities = capabilities;
    let connected = ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new())
        .capabilities(capabilities)
        .connect(Driver::shared().url())
        .await;
    let page = Page { client: connected.expect("a browser"), expected: RefCell::default() };
    page.set_up(reader).await;
    let outcome = AssertUnwindSafe(async {
        test(&page).await;
        page.check_console().await;
    });
    let outcome = outcome.catch_unwind().await;
    if outcome.is_err() {
        page.tell().await;
    }
    // An error says that it has ended by itself.
    let _ = page.client.close().await;
    drop(place);
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

impl Page {
    async fn set_up(&self, reader: Reader) {
        let scheme = if reader.is_dark { "dark" } else { "light" };
        let features = json!([
            {"name": "prefers-color-scheme", "value": scheme},
            // What is judged must not be on its way.
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]);
        self.devtools("Emulation.setEmulatedMedia", json!({"features": features})).await;
        let metrics = json!({"width": reader.width, "height": 800, "deviceScaleFactor": 1, "mobile": false});
        self.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    pub(crate) async fn open(&self, url: &str) {
        self.client.goto(url).await.expect("the page opens");
    }

    pub(crate) async fn reload(&self) {
        self.client.refresh().await.expect("the page opens again");
    }

    /// From now on, errors on the console that contain this are no failures.
    pub(crate) fn expecting(&self, text: &str) {
        self.expected.borrow_mut().push(text.to_owned());
    }

    /// The value of a script's `return`.
    pub(crate) async fn script(&self, script: &str, arguments: &[Value]) -> Value {
        let value = self.client.execute(script, arguments.to_vec()).await;
        value.unwrap_or_else(|error| panic!("{error}\nin {script}"))
    }

    /// Whether an expression is true in the page.
    pub(crate) async fn is(&self, expression: &str) -> bool {
        self.script(&format!("return Boolean({expression})"), &[]).await == true
    }

    /// Waits until an expression is true in the page.
    #[track_caller]
    pub(crate) fn until<'a>(&'a self, expression: &str) -> impl Future<Output = ()> + use<'a> {
        self.until_within(expression, SOON)
    }

    #[track_caller]
    pub(crate) fn until_within<'a>(&'a self, expression: &str, within: Duration) -> impl Future<Output = ()> + use<'a> {
        let caller = std::panic::Location::caller();
        let expression = expression.to_owned();
        async move {
            let deadline = Instant::now() + within;
            // A page that is being loaded anew may not answer.
            while !self
                .client
                .execute(&format!("return Boolean({expression})"), vec![])
                .await
                .is_ok_and(|is| is == true)
            {
                assert!(Instant::now() < deadline, "{caller}: not true within {within:?}: {expression}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    /// Waits until the element is shown and says this.
    #[track_caller]
    pub(crate) fn sees<'a>(&'a self, css: &str, text: &str) -> impl Future<Output = ()> + use<'a> {
        let (css, text) = (json!(css), json!(text));
        self.until(&format!(
            "[...document.querySelectorAll({css})].some(e => e.checkVisibility() && e.innerText.includes({text}))"
        ))
    }

    /// Waits until there is such an element, and it is shown.
    #[track_caller]
    pub(crate) fn finds<'a>(&'a self, css: &str) -> impl Future<Output = ()> + use<'a> {
        self.sees(css, "")
    }

    /// Waits until no such element is shown.
    #[track_caller]
    pub(crate) fn loses<'a>(&'a self, css: &str) -> impl Future<Output = ()> + use<'a> {
        let css = json!(css);
        self.until(&format!("![...document.querySelectorAll({css})].some(e => e.checkVisibility())"))
    }

    /// What the first such element says, or "".
    pub(crate) async fn text(&self, css: &str) -> String {
        let text = self.script("return document.querySelector(arguments[0])?.innerText ?? ''", &[json!(css)]).await;
        text.as_str().expect("text").to_owned()
    }

    /// How many such elements are there.
    pub(crate) async fn count(&self, css: &str) -> u64 {
        let count = self.script("return document.querySelectorAll(arguments[0]).length", &[json!(css)]).await;
        count.as_u64().expect("a number")
    }

    async fn usable(&self, css: &str) -> Element {
        let selector = json!(css);
        self.until(&format!("(e => e && e.checkVisibility() && !e.disabled)(document.querySelector({selector}))"))
            .await;
        // The driver does this as well, but not in a box that scrolls from right to left.
        let scroll =
            format!("document.querySelector({selector})?.scrollIntoView({{block: 'nearest', inline: 'nearest'}})");
        self.script(&scroll, &[]).await;
        self.client.find(Locator::Css(css)).await.expect("what was there a moment ago")
    }

    /// Clicks on the first such element, once it is there and enabled.
    pub(crate) async fn click(&self, css: &str) {
        let deadline = Instant::now() + SOON;
        loop {
            match self.usable(css).await.click().await {
                Ok(()) => return,
                // Drawn anew between the look and the click.
                Err(error) => assert!(Instant::now() < deadline, "{css}: {error}"),
            }
        }
    }

    /// Replaces what is in a field.
    pub(crate) async fn fill(&self, css: &str, text: &str) {
        let field = self.usable(css).await;
        field.clear().await.expect("a field");
        field.send_keys(text).await.expect("a field");
    }

    /// Chooses an option by its value.
    pub(crate) async fn choose(&self, css: &str, value: &str) {
        self.usable(css).await.select_by_value(value).await.expect("an option");
    }

    /// A command of the browser's own protocol.
    pub(crate) async fn devtools(&self, command: &str, parameters: Value) -> Value {
        let body = json!({"cmd": command, "params": parameters});
        self.client.issue_cmd(OfTheDriver("goog/cdp/execute", body)).await.expect("a command")
    }

    /// Fails the test if the page can be scrolled sideways.
    pub(crate) async fn fits(&self) {
        let widths = "const root = document.documentElement; return [root.scrollWidth, root.clientWidth, \
            [...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().width > 0 && \
            (e.getBoundingClientRect().right > innerWidth + 1 || e.getBoundingClientRect().left < -1)) \
            .map(e => e.outerHTML.slice(0, 100)).slice(0, 5)]";
        let widths = self.script(widths, &[]).await;
        assert!(widths[0].as_u64() <= widths[1].as_u64(), "scrolls sideways: {widths:#}");
    }

    /// Fails the test if the accessibility checker finds anything.
    pub(crate) async fn is_accessible(&self, state: &str) {
        self.client.execute(axe(), vec![]).await.expect("the checker is loaded");
        let run = "const done = arguments[0]; axe.run(document, {resultTypes: ['violations']}).then(\
            result => done(result.violations.map(v => ({id: v.id, help: v.help, nodes: v.nodes.slice(0, 5).map(\
            n => ({html: n.html.slice(0, 300), why: n.failureSummary}))}))), error => done(String(error)))";
        let found = self.client.execute_async(run, vec![]).await.expect("the checker runs");
        assert_eq!(found, json!([]), "{state}: {found:#}");
    }

    /// What the console has said since it was last asked.
    pub(crate) async fn console(&self) -> Vec<(String, String)> {
        let entries = self.client.issue_cmd(OfTheDriver("se/log", json!({"type": "browser"}))).await;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let entries = entries.expect("a log");
        let entries = entries.as_array().expect("entries");
        entries.iter().map(|entry| (text(&entry["level"]), text(&entry["message"]))).collect()
    }

    /// Fails the test if the console tells of an error that is not expected.
    pub(crate) async fn check_console(&self) {
        let expected = self.expected.borrow().clone();
        let is_error = |level: &str, message: &str| level == "SEVERE" || message.contains("Content Security Policy");
        let mut entries = self.console().await;
        entries.retain(|(level, message)| {
            is_error(level, message) && !expected.iter().any(|expected| message.contains(expected))
        });
        assert!(entries.is_empty(), "the console says: {entries:#?}");
    }

    /// Tells what is on the page of a test that fails.
    async fn tell(&self) {
        let url = self.client.current_url().await.map(String::from).unwrap_or_default();
        println!("--- page {url}");
        if let Ok(text) = self.client.execute("return document.body.innerText", vec![]).await {
            println!("{}", text.as_str().unwrap_or_default());
        }
        println!("--- console\n{:#?}", self.console().await);
    }
}

/// A command that only this driver has: its name below the session, and its body.
#[derive(Debug)]
struct OfTheDriver(&'static str, Value);

impl WebDriverCompatibleCommand for OfTheDriver {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, url::ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.0))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.1.to_string()))
    }
}
