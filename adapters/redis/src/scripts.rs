//! The scripts that Redis runs, each in one step.

use std::sync::LazyLock;

use fred::types::scripts::Script;

macro_rules! script {
    ($($file:literal),+) => {
        LazyLock::new(|| Script::from_lua(concat!($(include_str!(concat!("scripts/", $file))),+)))
    };
}

pub(crate) type Lua = LazyLock<Script>;

pub(crate) static CREATE: Lua = script!("session.lua", "create.lua");
pub(crate) static READ: Lua = script!("session.lua", "read.lua");
pub(crate) static OPEN: Lua = script!("session.lua", "open.lua");
pub(crate) static COMMIT: Lua = script!("session.lua", "commit.lua");
pub(crate) static LEAVE: Lua = script!("session.lua", "leave.lua");
pub(crate) static RENEW: Lua = script!("session.lua", "renew.lua");
pub(crate) static DELETE: Lua = script!("session.lua", "delete.lua");
pub(crate) static TAKE: Lua = script!("take.lua");
pub(crate) static RECORD: Lua = script!("record.lua");
pub(crate) static FORGET: Lua = script!("forget.lua");
pub(crate) static LIST: Lua = script!("list.lua");
pub(crate) static SETTLE: Lua = script!("settle.lua");
