//! MySQL behind the chat's ports.
