//! The content of a store as a flat map, so that a damaged copy can be compared with the original and merged by
//! partition.
//!
//! Pure. `redis_image` and `redb_image` read and write the stores themselves.

use std::collections::{BTreeMap, BTreeSet};

/// One key of a store, or one element of a key with several elements.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Row {
    /// Redis key or redb table.
    pub(crate) table: Vec<u8>,
    pub(crate) kind: RowKind,
    /// Hash field, list index (8 bytes, big endian) or key of a redb table; empty for a string.
    pub(crate) key: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum RowKind {
    Text = b's',
    Hash = b'h',
    List = b'l',
    /// A row of a redb table; the key begins with the partition.
    Table = b't',
}

/// The rows of a store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Image(pub(crate) BTreeMap<Row, Vec<u8>>);

/// The part of a store that a row belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Owner {
    Partition(u32),
    /// Settings of the whole store.
    Shared,
    /// The live cores, which differ between any two moments.
    Membership,
    /// A key that no core reads, such as a damaged key name.
    Nobody,
}

impl Row {
    pub(crate) fn owner(&self) -> Owner {
        if self.kind == RowKind::Table {
            let first = self.key.first_chunk().filter(|_| self.table != b"settings");
            return first
                .map_or(Owner::Shared, |bytes| Owner::Partition(u32::from_be_bytes(*bytes)));
        }
        owner(&self.table)
    }
}

/// The part of the store that a Redis key belongs to.
pub(crate) fn owner(key: &[u8]) -> Owner {
    let Some(tag) = key.strip_prefix(b"minerva:{") else { return Owner::Nobody };
    match tag.strip_prefix(b"store}:") {
        Some(b"members" | b"cores") => return Owner::Membership,
        Some(_) => return Owner::Shared,
        None => {}
    }
    let end = tag.iter().position(|&byte| byte == b'}');
    let number = end.and_then(|end| str::from_utf8(tag.get(1..end)?).ok()?.parse().ok());
    number.filter(|_| tag[0] == b'p').map_or(Owner::Nobody, Owner::Partition)
}

impl Image {
    /// The owners of the rows that differ from another image.
    pub(crate) fn differences(&self, other: &Self) -> BTreeSet<Owner> {
        let differs =
            |(row, value): &(&Row, &Vec<u8>), map: &BTreeMap<_, _>| map.get(*row) != Some(*value);
        let here = self.0.iter().filter(|row| differs(row, &other.0));
        let there = other.0.iter().filter(|row| differs(row, &self.0));
        here.chain(there).map(|(row, _)| row.owner()).collect()
    }

    /// Whether a Redis store has a stored version above the first one.
    pub(super) fn has_version(&self) -> bool {
        self.0.keys().any(|row| row.name() == "format" && row.key == b"version")
    }

    /// The rows of these owners.
    pub(crate) fn part(&self, owners: &BTreeSet<Owner>) -> Self {
        let rows = self.0.iter().filter(|(row, _)| owners.contains(&row.owner()));
        Self(rows.map(|(row, value)| (row.clone(), value.clone())).collect())
    }

    /// The kinds of rows that differ from the original, such as `log missing, streams changed`.
    pub(crate) fn describe_changes(&self, original: &Self) -> String {
        let mut changes: BTreeSet<(String, &str)> = BTreeSet::new();
        for (row, value) in &original.0 {
            match self.0.get(row) {
                None => drop(changes.insert((row.name(), "missing"))),
                Some(other) if other != value => drop(changes.insert((row.name(), "changed"))),
                Some(_) => {}
            }
        }
        let added = self.0.keys().filter(|row| !original.0.contains_key(row));
        changes.extend(added.map(|row| (row.name(), "added")));
        let changes: Vec<_> =
            changes.iter().map(|(name, change)| format!("{name} {change}")).collect();
        changes.join(", ")
    }

    /// Bytes of all key names, field names and values; a key with several elements counts its name once.
    pub(crate) fn bytes(&self) -> usize {
        let names: BTreeSet<_> = self.0.keys().map(|row| &row.table).collect();
        let names: usize = names.into_iter().map(Vec::len).sum();
        names + self.0.iter().map(|(row, value)| row.field().len() + value.len()).sum::<usize>()
    }

    /// Changes the name, field or value that contains the byte at `position`; `change` receives the bytes and the
    /// offset in them.
    pub(crate) fn change_at(&mut self, position: usize, change: impl Fn(&mut Vec<u8>, usize)) {
        let mut left = position;
        let mut name: Option<Vec<u8>> = None;
        let mut rename = None;
        let mut target = None;
        for (row, value) in &self.0 {
            if name.as_ref() != Some(&row.table) {
                if left < row.table.len() {
                    rename = Some(row.table.clone());
                    break;
                }
                left -= row.table.len();
                name = Some(row.table.clone());
            }
            let field = row.field().len();
            if left < field + value.len() {
                target = Some((
                    row.clone(),
                    left < field,
                    if left < field { left } else { left - field },
                ));
                break;
            }
            left -= field + value.len();
        }
        if let Some(old) = rename {
            self.rename(&old, |name| change(name, left));
        } else if let Some((row, in_field, offset)) = target {
            self.change_row(&row, in_field, |bytes| change(bytes, offset));
        }
    }

    fn rename(&mut self, old: &[u8], change: impl Fn(&mut Vec<u8>)) {
        let rows: Vec<_> = self.0.keys().filter(|row| row.table == old).cloned().collect();
        let mut name = old.to_vec();
        change(&mut name);
        let moved: Vec<_> = rows.iter().filter_map(|row| self.0.remove_entry(row)).collect();
        // The damaged name may be that of another key, which is lost then.
        self.0.retain(|row, _| row.table != name);
        let renamed = |row: Row| Row { table: name.clone(), ..row };
        self.0.extend(moved.into_iter().map(|(row, value)| (renamed(row), value)));
    }

    fn change_row(&mut self, row: &Row, in_field: bool, change: impl Fn(&mut Vec<u8>)) {
        let Some(mut value) = self.0.remove(row) else { return };
        let mut row = row.clone();
        change(if in_field { &mut row.key } else { &mut value });
        self.0.insert(row, value);
    }
}

impl Row {
    /// The last part of the name of the key or table.
    fn name(&self) -> String {
        let name = self.table.rsplit(|&byte| byte == b':').next().unwrap_or_default();
        String::from_utf8_lossy(name).into_owned()
    }

    /// The stored name of an element; list indices are not stored.
    fn field(&self) -> &[u8] {
        if self.kind == RowKind::List { &[] } else { &self.key }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(table: &str, kind: RowKind, key: &[u8]) -> Row {
        Row { table: table.into(), kind, key: key.to_vec() }
    }

    fn image() -> Image {
        Image(BTreeMap::from([
            (row("minerva:{p1}:head", RowKind::Hash, b"epoch"), b"7".to_vec()),
            (row("minerva:{p1}:log", RowKind::List, &0_u64.to_be_bytes()), b"one".to_vec()),
            (row("minerva:{p22}:log", RowKind::List, &0_u64.to_be_bytes()), b"two".to_vec()),
            (row("minerva:{store}:partitions", RowKind::Text, b""), b"64".to_vec()),
        ]))
    }

    #[test]
    fn a_row_belongs_to_its_partition() {
        let owners: Vec<_> = image().0.keys().map(Row::owner).collect();
        let (one, two) = (Owner::Partition(1), Owner::Partition(22));
        assert_eq!(owners, [one, one, two, Owner::Shared]);
        for name in ["minerva:{p1:log", "minerva:{px}:log", "miner", "minerva:{q1}:log"] {
            assert_eq!(row(name, RowKind::Text, b"").owner(), Owner::Nobody, "{name}");
        }
        for name in ["members", "cores"] {
            let name = format!("minerva:{{store}}:{name}");
            assert_eq!(row(&name, RowKind::Hash, b"core").owner(), Owner::Membership);
        }
        assert_eq!(row("log", RowKind::Table, &[0, 0, 1, 0, 9]).owner(), Owner::Partition(256));
        assert_eq!(row("settings", RowKind::Table, b"format").owner(), Owner::Shared);
    }

    #[test]
    fn every_byte_of_names_and_values_can_be_changed() {
        let size = image().bytes();
        assert_eq!(size, 17 + 5 + 1 + 16 + 3 + 17 + 3 + 26 + 2);
        let mut changed = BTreeSet::new();
        for position in 0..size {
            let mut damaged = image();
            damaged.change_at(position, |bytes, offset| bytes[offset] ^= 1);
            let owners = damaged.differences(&image());
            assert!(!owners.is_empty(), "byte {position}");
            changed.extend(owners);
            assert_eq!(damaged.0.len(), 4);
        }
        assert!(changed.contains(&Owner::Shared) && changed.contains(&Owner::Nobody));
        let mut same = image();
        same.change_at(size, |bytes, _| bytes.clear());
        assert_eq!(same, image());
    }

    #[test]
    fn changes_are_described_by_the_names_of_the_keys() {
        let mut damaged = image();
        damaged.0.retain(|row, _| !row.table.ends_with(b"{p1}:log"));
        damaged.0.insert(row("minerva:{p1}:head", RowKind::Hash, b"epoch"), b"8".to_vec());
        damaged.0.insert(row("minerva:{p1}:hebd", RowKind::Hash, b"x"), Vec::new());
        let part = damaged.part(&BTreeSet::from([Owner::Partition(1)]));
        let original = image().part(&BTreeSet::from([Owner::Partition(1)]));
        assert_eq!(part.describe_changes(&original), "head changed, hebd added, log missing");
        assert_eq!(original.describe_changes(&original), "");
    }
}
