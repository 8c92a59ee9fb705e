//! Without a mouse.

use fantoccini::key::Key;

use crate::{
    browser::{Reader, browse},
    scene::{answer, box_has, demo, here, page, say},
};

#[tokio::test]
async fn enter_sends_and_with_shift_breaks_the_line() {
    let service = demo().start().await;
    browse(Reader::ENGLISH, async |tab| {
        tab.open(&page(&service, "/chat")).await;
        tab.fill(&here("message-input"), "My name").await;
        tab.press_with(Key::Shift, &char::from(Key::Enter).to_string()).await;
        tab.types("is Sara.").await;
        box_has(tab, "My name\nis Sara.").await;
        assert_eq!(tab.count(&here("user-message")).await, 0);
        tab.press(Key::Enter).await;
        tab.sees(&here("user-message"), "My name\nis Sara.").await;
        tab.finds(&answer("complete")).await;
        box_has(tab, "").await;
    })
    .await;
}

#[tokio::test]
async fn on_a_screen_that_is_touched_enter_breaks_the_line() {
    let service = demo().start().await;
    browse(Reader::ENGLISH, async |tab| {
        tab.is_touched().await;
        tab.open(&page(&service, "/chat")).await;
        tab.fill(&here("message-input"), "My name").await;
        tab.press(Key::Enter).await;
        tab.types("is Sara.").await;
        box_has(tab, "My name\nis Sara.").await;
        // Nobody is told otherwise.
        assert!(tab.is("!document.querySelector('.hint-keys').checkVisibility()").await);
        assert!(tab.is("document.querySelector('[data-testid=message-input]').enterKeyHint !== 'send'").await);
        // With a real keyboard there is a way.
        tab.press_with(Key::Control, &char::from(Key::Enter).to_string()).await;
        tab.sees(&here("user-message"), "My name\nis Sara.").await;
        say(tab, "Hello!").await;
        tab.sees(&here("user-message"), "Hello!").await;
    })
    .await;
}

#[tokio::test]
async fn escape_closes_the_list_on_a_telephone() {
    let service = demo().start().await;
    browse(Reader::ENGLISH.on_the_phone(), async |tab| {
        tab.open(&page(&service, "/chat")).await;
        tab.click(&here("sidebar-open")).await;
        tab.finds("#new-session").await;
        tab.until("document.activeElement.id === 'sidebar-close'").await;
        tab.press(Key::Escape).await;
        tab.until("!document.querySelector('#new-session').checkVisibility({visibilityProperty: true})").await;
        tab.until("document.activeElement.dataset.testid === 'sidebar-open'").await;
    })
    .await;
}

#[tokio::test]
async fn the_tab_key_reaches_everything() {
    let service = demo().start().await;
    browse(Reader::ENGLISH, async |tab| {
        tab.open(&page(&service, "/chat")).await;
        say(tab, "Hello!").await;
        tab.finds(&answer("complete")).await;
        tab.click(&here("options-toggle")).await;
        tab.script("document.activeElement.blur(); getSelection().removeAllRanges()", &[]).await;
        tab.script("document.querySelector('.skip-link').focus()", &[]).await;
        let unreached = "[...document.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex=\"0\"]')]\
            .filter(e => e.checkVisibility({visibilityProperty: true}) && !e.disabled && !e.reached)";
        for _ in 0..60 {
            tab.script("document.activeElement.reached = true", &[]).await;
            if tab.is(&format!("{unreached}.length === 0")).await {
                return;
            }
            tab.press(Key::Tab).await;
        }
        let left = tab.script(&format!("return {unreached}.map(e => e.outerHTML.slice(0, 200))"), &[]).await;
        panic!("not reached: {left:#}");
    })
    .await;
}
