//! The list of deliberate differences: vector, faces and reason of each entry.
//!
//! The parser checks that every entry names an existing vector with a reason, and bounds the number of entries.

use serde::Deserialize;

use crate::face::{Face, faces};
use crate::vectors::{Class, Vector};

/// The built-in list.
pub(crate) const LISTED: &str = include_str!("../differences.toml");
/// Upper limit of listed protocol vectors per face, in percent.
const MOST_PERCENT: usize = 5;

/// The list.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Differences {
    #[serde(default, rename = "difference")]
    entries: Vec<Difference>,
}

/// An entry of the list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Difference {
    vector: String,
    /// Faces with the difference.
    faces: Vec<Face>,
    /// Justification, at least 20 characters.
    reason: String,
    /// The outcome depends on timing, so a pass does not make the entry stale.
    #[serde(default)]
    sometimes: bool,
}

/// A defect of a list.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListError {
    #[error("differences: {0}")]
    Syntax(#[from] toml::de::Error),
    #[error("differences: unknown vector {0:?}")]
    Unknown(String),
    #[error("differences: {0:?} is of a class that may differ freely")]
    NotBinding(String),
    #[error("differences: {0:?} is not played on {1}")]
    NotPlayed(String, Face),
    #[error("differences: {0:?} is listed twice for {1}")]
    Twice(String, Face),
    #[error("differences: {0:?} has no reason")]
    NoReason(String),
    #[error("differences: {listed} vectors are listed for {face}, at most {most} may be")]
    TooMany { face: Face, listed: usize, most: usize },
}

impl Differences {
    /// Reads a list and checks it against the vectors.
    pub(crate) fn parse(text: &str, vectors: &[Vector]) -> Result<Self, ListError> {
        let list: Self = toml::from_str(text)?;
        for (index, entry) in list.entries.iter().enumerate() {
            entry.check(vectors)?;
            for &face in &entry.faces {
                let earlier = &list.entries[..index];
                if earlier.iter().any(|e| e.vector == entry.vector && e.faces.contains(&face)) {
                    return Err(ListError::Twice(entry.vector.clone(), face));
                }
            }
        }
        for face in Face::ALL {
            list.check_number(face, vectors)?;
        }
        Ok(list)
    }

    /// Whether a vector may differ; `Some(true)` if a pass is permitted as well.
    pub(crate) fn lists(&self, vector: &str, face: Face) -> Option<bool> {
        let entry = self.entries.iter().find(|e| e.vector == vector && e.faces.contains(&face))?;
        Some(entry.sometimes)
    }

    fn check_number(&self, face: Face, vectors: &[Vector]) -> Result<(), ListError> {
        let played = vectors
            .iter()
            .filter(|v| v.class == Class::Protocol)
            .flat_map(faces)
            .filter(|(known, left_out)| *known == face && left_out.is_none())
            .count();
        let listed = self.entries.iter().filter(|e| e.faces.contains(&face)).count();
        let most = played * MOST_PERCENT / 100;
        if listed > most {
            return Err(ListError::TooMany { face, listed, most });
        }
        Ok(())
    }
}

impl Difference {
    fn check(&self, vectors: &[Vector]) -> Result<(), ListError> {
        let name = || self.vector.clone();
        let Some(vector) = vectors.iter().find(|v| v.name == self.vector) else {
            return Err(ListError::Unknown(name()));
        };
        if vector.class != Class::Protocol {
            return Err(ListError::NotBinding(name()));
        }
        if self.reason.trim().len() < 20 {
            return Err(ListError::NoReason(name()));
        }
        let played = faces(vector);
        for &face in &self.faces {
            if !played.contains(&(face, None)) {
                return Err(ListError::NotPlayed(name(), face));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors::built_in;

    fn parse(text: &str) -> Result<Differences, String> {
        let vectors = built_in().unwrap();
        Differences::parse(text, &vectors).map_err(|error| error.to_string())
    }

    fn entry(vector: &str, face: &str, reason: &str) -> String {
        format!(
            "[[difference]]\nvector = \"{vector}\"\nfaces = [\"{face}\"]\nreason = \"{reason}\"\n"
        )
    }

    const WHY: &str = "an application elsewhere answers later";

    #[test]
    fn the_built_in_list_is_valid() {
        parse(LISTED).unwrap();
    }

    #[test]
    fn an_entry_permits_a_difference_on_its_face_only() {
        let list = parse(&entry("c2s/socket/in_order", "tcp", WHY)).unwrap();
        assert_eq!(list.lists("c2s/socket/in_order", Face::Tcp), Some(false));
        assert_eq!(list.lists("c2s/socket/in_order", Face::WebSocket), None);
        assert_eq!(list.lists("c2s/socket/all_95_chars", Face::Tcp), None);
    }

    #[test]
    fn invalid_entries_are_rejected() {
        let twice = entry("c2s/socket/in_order", "tcp", WHY).repeat(2);
        for (text, complaint) in [
            (entry("c2s/socket/no_such", "tcp", WHY), "unknown vector"),
            (entry("c2s/socket/in_order", "http", WHY), "not played on http"),
            (entry("framing/socket/policy", "websocket", WHY), "not played on websocket"),
            (entry("c2s/socket/rwin_full_then_duplicate", "tcp", WHY), "differ freely"),
            (entry("c2s/socket/in_order", "tcp", ""), "no reason"),
            (twice, "listed twice"),
        ] {
            let error = parse(&text).unwrap_err();
            assert!(error.contains(complaint), "{error:?} lacks {complaint:?}");
        }
    }

    #[test]
    fn the_number_of_entries_is_bounded() {
        let vectors = built_in().unwrap();
        let names: Vec<&str> = vectors
            .iter()
            .filter(|v| v.class == Class::Protocol && !v.uses_socket())
            .map(|v| v.name.as_str())
            .collect();
        let most = names.len() * MOST_PERCENT / 100;
        let parse_n = |n: usize| {
            parse(&names[..n].iter().map(|name| entry(name, "http", WHY)).collect::<String>())
        };
        assert!(parse_n(most - 1).is_ok() && parse_n(most).is_ok());
        assert!(parse_n(most + 1).unwrap_err().contains("at most"));
    }
}
