//! The tools of all servers as one catalogue.

use std::{collections::HashSet, sync::Arc};

use chat_domain::ports::tools::{AbsentServer, Tool, ToolCatalogue};

use crate::server::{Offer, Phase, Server, State};

/// What OpenAI's API takes for a function's name, and all that followed it: 64 characters `[A-Za-z0-9_-]`.
const NAME_MAX: usize = 64;

/// The catalogue of these servers in these states.
///
/// A server that is being connected to again still offers what it had: it mostly is back before it is called.
pub(crate) fn of(servers: &[(Arc<Server>, Arc<State>)]) -> ToolCatalogue {
    let (mut tools, mut absent) = (Vec::new(), Vec::new());
    let mut names = HashSet::new();
    for (server, state) in servers {
        // Names are given to all tools that are known, there or not: none changes because another server comes or goes.
        let known = state.tools.iter().filter_map(|offer| Some((function_name(&mut names, server, offer)?, offer)));
        if matches!(state.phase, Phase::Ready | Phase::Reconnecting) {
            tools.extend(known.map(|(function, offer)| Tool {
                function: function.into(),
                server: server.name.clone(),
                name: offer.name.clone(),
                description: offer.description.clone(),
                schema: offer.schema.clone(),
            }));
        } else {
            absent.push(AbsentServer {
                name: server.name.clone(),
                required: server.config.required,
                last_known: known.map(|(_, offer)| offer.name.clone()).collect(),
            });
        }
    }
    ToolCatalogue::new(tools, absent)
}

/// `server_tool`, made of what is allowed, and different from all names before.
fn function_name(taken: &mut HashSet<String>, server: &Server, offer: &Offer) -> Option<String> {
    let valid = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '_' };
    let mut name: String = server.name.chars().chain(['_']).chain(offer.name.chars()).map(valid).collect();
    if name.len() > NAME_MAX || taken.contains(&name) {
        // The same tool gets the same name in every replica and after every restart: the model has it in its memory.
        let mark = format!("_{:08x}", fnv1a(&[&server.name, &offer.name]));
        name.truncate(NAME_MAX - mark.len());
        name.push_str(&mark);
    }
    taken.insert(name.clone()).then_some(name)
}

/// The 32-bit FNV-1a hash (<http://www.isthe.com/chongo/tech/comp/fnv/>) of these parts, a zero byte after each.
fn fnv1a(parts: &[&str]) -> u32 {
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0]));
    bytes.fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::tests::{offer, server};

    fn catalogue(servers: &[(&str, &[&str], Phase)]) -> ToolCatalogue {
        let make = |(name, tools, phase): &(&str, &[&str], Phase)| {
            let server = server(name, tools.iter().map(|tool| offer(tool)).collect(), *phase);
            let state = server.state();
            (server, state)
        };
        of(&servers.iter().map(make).collect::<Vec<_>>())
    }

    fn functions(catalogue: &ToolCatalogue) -> Vec<&str> {
        catalogue.tools().iter().map(|tool| &*tool.function).collect()
    }

    #[test]
    fn tools_are_named_after_their_server() {
        let two = catalogue(&[("fetch", &["get"], Phase::Ready), ("file system", &["read.file"], Phase::Ready)]);
        assert_eq!(functions(&two), ["fetch_get", "file_system_read_file"]);
    }

    #[test]
    fn names_are_unique_and_short_and_stay_the_same() {
        let long = "t".repeat(200);
        let all: [(&str, &[&str], Phase); 3] = [
            ("a", &["b_c", &long], Phase::Ready),
            ("a_b", &["c", "c!", "c?"], Phase::Ready),
            ("فروشگاه", &["جستجو"], Phase::Ready),
        ];
        let together = catalogue(&all);
        let names = functions(&together);
        assert_eq!(names.len(), 6);
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), 6, "{names:?}");
        assert!(names.iter().all(|name| name.len() <= NAME_MAX), "{names:?}");
        // With the first server away the others keep their names.
        let mut away = all;
        away[0].2 = Phase::Down;
        assert_eq!(functions(&catalogue(&away)), names[2..]);
    }

    #[test]
    fn what_is_not_there_is_absent_with_what_it_had() {
        let some = catalogue(&[
            ("up", &["a"], Phase::Ready),
            ("again", &["b"], Phase::Reconnecting),
            ("down", &["c"], Phase::Down),
            ("new", &[], Phase::Starting),
        ]);
        assert_eq!(functions(&some), ["up_a", "again_b"]);
        let absent: Vec<(&str, usize)> = some.absent().iter().map(|one| (&*one.name, one.last_known.len())).collect();
        assert_eq!(absent, [("down", 1), ("new", 0)]);
    }
}
