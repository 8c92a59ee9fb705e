//! MongoDB behind the chat's ports.
