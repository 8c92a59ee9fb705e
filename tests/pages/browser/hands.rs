//! More that a reader does: other tabs, the keyboard, a finger.

use fantoccini::{key::Key, wd::WindowHandle};
use serde_json::json;

use super::Page;

impl Page {
    /// Goes to another tab of the same browser, and opens a page there. → the tab that was left
    pub(crate) async fn open_another_tab(&self, url: &str) -> WindowHandle {
        let left = self.client.window().await.expect("a tab");
        let tab = self.client.new_window(true).await.expect("another tab");
        self.client.switch_to_window(tab.handle).await.expect("the other tab");
        self.open(url).await;
        left
    }

    /// Goes to a tab. → the one that was left
    pub(crate) async fn switch_to(&self, tab: WindowHandle) -> WindowHandle {
        let left = self.client.window().await.expect("a tab");
        self.client.switch_to_window(tab).await.expect("that tab");
        left
    }

    /// Closes a tab that is not the one in view.
    pub(crate) async fn close_tab(&self, tab: WindowHandle) {
        let here = self.switch_to(tab).await;
        self.client.close_window().await.expect("a tab to close");
        self.client.switch_to_window(here).await.expect("the tab that was in view");
    }

    /// Types where the focus is.
    pub(crate) async fn types(&self, text: &str) {
        self.client.active_element().await.expect("a focus").send_keys(text).await.expect("something to type into");
    }

    /// Presses a key, wherever the focus is: its name, and its number on a keyboard.
    pub(crate) async fn press(&self, key: &str) {
        let (number, text) = match key {
            "Tab" => (9, ""),
            "Enter" => (13, "\r"),
            "Escape" => (27, ""),
            "PageUp" => (33, ""),
            "PageDown" => (34, ""),
            "End" => (35, ""),
            "Home" => (36, ""),
            "ArrowLeft" => (37, ""),
            "ArrowUp" => (38, ""),
            "ArrowRight" => (39, ""),
            "ArrowDown" => (40, ""),
            other => panic!("{other} is not known here"),
        };
        for kind in ["keyDown", "keyUp"] {
            let mut event = json!({"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": number});
            if kind == "keyDown" {
                event["text"] = json!(text);
            }
            self.devtools("Input.dispatchKeyEvent", event).await;
        }
    }

    /// Presses a key while another one is held.
    pub(crate) async fn press_with(&self, held: Key, key: &str) {
        // The last one lets go of those that are held.
        self.types(&format!("{}{key}{}", char::from(held), char::from(Key::Null))).await;
    }

    /// From now on the reader has a finger, and no mouse.
    pub(crate) async fn is_touched(&self) {
        self.devtools("Emulation.setTouchEmulationEnabled", json!({"enabled": true, "maxTouchPoints": 1})).await;
        self.until("matchMedia('(pointer: coarse)').matches").await;
    }
}
