//! Configuration checks of a Redis server from its INFO reply: no setting may lose acknowledged data. Pure.

use super::super::StoreError;

/// Oldest supported version of Redis, or of the Redis version that Valkey reports for compatibility.
///
/// From this version on, scripts replicate their effects, and errors inside a script keep their code. The tests run
/// on this version.
const OLDEST: (u32, u32) = (7, 0);

/// Fields of the INFO reply.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ServerInfo {
    version: String,
    role: String,
    policy: String,
    is_loading: bool,
    /// Whether the server writes an append-only file.
    pub(super) has_aof: bool,
    /// Whether the server is a cluster node.
    is_cluster: bool,
}

/// Name, value and result of a check.
pub(super) type Check<'a> = (&'static str, &'a str, Result<(), StoreError>);

impl ServerInfo {
    /// Parses the INFO reply; missing fields stay empty.
    pub(super) fn parse(info: &str) -> Self {
        let mut server = Self::default();
        for (name, value) in info.lines().filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            match name {
                "redis_version" => server.version = value.to_owned(),
                "role" => server.role = value.to_owned(),
                "maxmemory_policy" => server.policy = value.to_owned(),
                "loading" => server.is_loading = value == "1",
                "aof_enabled" => server.has_aof = value == "1",
                "cluster_enabled" => server.is_cluster = value == "1",
                _ => {}
            }
        }
        server
    }

    /// Performs all checks.
    ///
    /// # Errors
    /// The first failure: [`StoreError::Config`] if an operator must change a setting, [`StoreError::Unavailable`] if
    /// the state may be temporary.
    pub(super) fn check(&self, server: &str, in_cluster: bool) -> Result<(), StoreError> {
        self.checks(server, in_cluster).into_iter().try_for_each(|(_, _, result)| result)
    }

    /// Performs all checks and returns each result.
    pub(super) fn checks(&self, server: &str, in_cluster: bool) -> [Check<'_>; 5] {
        let yes_no = |is| if is { "yes" } else { "no" };
        [
            ("version", &self.version, self.check_version(server)),
            ("loading", yes_no(self.is_loading), self.check_loading(server)),
            ("maxmemory-policy", &self.policy, self.check_policy(server)),
            ("cluster", yes_no(self.is_cluster), self.check_cluster(server, in_cluster)),
            ("role", &self.role, self.check_role(server)),
        ]
    }

    fn check_version(&self, server: &str) -> Result<(), StoreError> {
        if self.major_minor().is_some_and(|version| version >= OLDEST) {
            return Ok(());
        }
        let version = &self.version;
        let text = format!(
            "Redis at {server} has version `{version}`; the oldest supported version is 7.0"
        );
        Err(StoreError::Config(text))
    }

    fn check_loading(&self, server: &str) -> Result<(), StoreError> {
        if !self.is_loading {
            return Ok(());
        }
        let text = format!("Redis at {server} is still loading its data");
        Err(StoreError::Unavailable(text))
    }

    fn check_policy(&self, server: &str) -> Result<(), StoreError> {
        if self.policy == "noeviction" {
            return Ok(());
        }
        Err(StoreError::Config(format!(
            "Redis at {server} has maxmemory-policy `{}`, which evicts stored data; \
             set `maxmemory-policy noeviction`",
            self.policy
        )))
    }

    fn check_cluster(&self, server: &str, in_cluster: bool) -> Result<(), StoreError> {
        if !self.is_cluster || in_cluster {
            return Ok(());
        }
        Err(StoreError::Config(format!(
            "Redis at {server} is a node of a cluster; use redis-cluster:// in --store"
        )))
    }

    fn check_role(&self, server: &str) -> Result<(), StoreError> {
        if self.role == "master" {
            return Ok(());
        }
        Err(StoreError::Unavailable(format!(
            "Redis at {server} is a replica and does not write; name the primary in --store, or the \
             Sentinels by redis-sentinel://"
        )))
    }

    fn major_minor(&self) -> Option<(u32, u32)> {
        let mut parts = self.version.split('.').map(|part| part.parse().ok());
        Some((parts.next()??, parts.next()??))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# Server\r\nredis_version:7.0.15\r\nrole:master\r\nloading:0\r\n\
        maxmemory_policy:noeviction\r\naof_enabled:1\r\ncluster_enabled:0\r\n";

    fn check(changed: (&str, &str), in_cluster: bool) -> Result<(), StoreError> {
        ServerInfo::parse(&GOOD.replace(changed.0, changed.1)).check("h:1", in_cluster)
    }

    #[test]
    fn a_well_configured_server_passes() {
        assert_eq!(check(("", ""), false), Ok(()));
        assert_eq!(check(("cluster_enabled:0", "cluster_enabled:1"), true), Ok(()));
        assert!(ServerInfo::parse(GOOD).has_aof);
        let valkey = ("redis_version:7.0.15", "redis_version:7.2.4\r\nvalkey_version:8.1.0");
        assert_eq!(check(valkey, false), Ok(()));
    }

    #[test]
    fn versions_from_7_0_on_pass() {
        for (version, ok) in
            [("6.2.14", false), ("7.0.0", true), ("8.0.1", true), ("10.1", true), ("x", false)]
        {
            assert_eq!(check(("7.0.15", version), false).is_ok(), ok, "{version}");
        }
    }

    #[test]
    fn wrong_settings_are_reported_with_a_fix() {
        for (changed, fix) in [
            (("noeviction", "allkeys-lru"), "set `maxmemory-policy noeviction`"),
            (("maxmemory_policy", "other"), "set `maxmemory-policy noeviction`"),
            (("7.0.15", "6.2.14"), "the oldest supported version is 7.0"),
            (("cluster_enabled:0", "cluster_enabled:1"), "use redis-cluster://"),
        ] {
            let Err(StoreError::Config(text)) = check(changed, false) else {
                panic!("{changed:?} passed");
            };
            assert!(text.contains(fix) && text.contains("h:1"), "{text}");
        }
    }

    #[test]
    fn temporary_states_are_unavailable() {
        for changed in [("role:master", "role:slave"), ("loading:0", "loading:1")] {
            let answer = check(changed, false);
            assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
        }
    }
}
