//! Redis behind the chat's ports.
