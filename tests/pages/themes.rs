//! Light and dark: as the reader's system has it.

use serde_json::json;

use crate::{
    browser::{Page, Reader, browse},
    scene::{demo, page},
};

/// How bright the page and its text are, from 0 to 255.
async fn brightness(tab: &Page) -> [f64; 2] {
    let script = "const style = getComputedStyle(document.body); const context = new OffscreenCanvas(1, 1).getContext('2d'); \
        return [style.backgroundColor, style.color].map(colour => { context.fillStyle = colour; \
        context.fillRect(0, 0, 1, 1); const [r, g, b] = context.getImageData(0, 0, 1, 1).data; return (r + g + b) / 3; })";
    let found = tab.script(script, &[]).await;
    [0, 1].map(|index| found[index].as_f64().expect("a number"))
}

#[tokio::test]
async fn pages_are_light_or_dark_as_the_system_is() {
    let service = demo().start().await;
    for reader in [Reader::ENGLISH, Reader::ENGLISH.in_the_dark()] {
        browse(reader, async |tab| {
            for path in ["/chat", "/metrics/ui", "/admin/ui"] {
                tab.open(&page(&service, path)).await;
                let [ground, text] = brightness(tab).await;
                assert_eq!(reader.is_dark, ground < 64.0, "{path}: {ground}");
                assert_eq!(!reader.is_dark, ground > 192.0, "{path}: {ground}");
                assert_eq!(reader.is_dark, text > ground, "{path}: {text} on {ground}");
            }
            // The lines of the charts as well; and a system that changes is followed at once.
            tab.open(&page(&service, "/metrics/ui")).await;
            let tone = "return getComputedStyle(document.documentElement).getPropertyValue('--tone-main')";
            let before = tab.script(tone, &[]).await;
            let other = if reader.is_dark { "light" } else { "dark" };
            let features = json!([{"name": "prefers-color-scheme", "value": other}]);
            tab.devtools("Emulation.setEmulatedMedia", json!({"features": features})).await;
            assert_ne!(tab.script(tone, &[]).await, before);
            assert_eq!(!reader.is_dark, brightness(tab).await[0] < 64.0);
        })
        .await;
    }
}
