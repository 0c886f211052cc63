//! What this engine can do, collected from the tables in which each thing is declared: [`FAMILIES`](crate::family::FAMILIES), and the samplers
//! and schedules of their own rooms.

use encaustic_protocol::{Catalog, Entry};

use crate::family::loadable;
use crate::{sampling, schedule};

/// The catalog: what menus show, what requests may say.
pub fn catalog() -> Catalog {
    Catalog {
        families: loadable().map(|family| Entry::new(family.id, family.label)).collect(),
        samplers: sampling::entries(),
        schedules: schedule::entries(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_means_two_things() {
        let Catalog { families, samplers, schedules } = catalog();
        for list in [families, samplers, schedules] {
            assert!(!list.is_empty());
            for entry in &list {
                let names = entry.aliases.iter().chain([&entry.id, &entry.label]);
                for name in names {
                    let meant = list.iter().filter(|other| other.is_called(name)).count();
                    assert_eq!(meant, 1, "{name:?}");
                }
            }
        }
    }
}
