//! Parsing and printing of Redis addresses.

use super::*;

fn parse(text: &str) -> Result<RedisUrl, RedisUrlError> {
    RedisUrl::parse(text).expect("a Redis scheme")
}

fn node(host: &str, port: u16) -> Node {
    Node { host: host.to_owned(), port }
}

fn login(user: Option<&str>, password: &str) -> Login {
    Login { user: user.map(str::to_owned), password: Some(password.to_owned()) }
}

#[test]
fn sentinels_have_a_login_of_their_own() {
    let url = |query: &str| parse(&format!("redis-sentinel://core:pw@a/main?{query}"));
    let parsed = url("sentinel_user=watch&sentinel_password=p%26w").unwrap();
    assert_eq!(parsed.login, login(Some("core"), "pw"));
    assert_eq!(parsed.sentinel_login, login(Some("watch"), "p&w"));
    assert_eq!(url("sentinel_password=pw").unwrap().sentinel_login, login(None, "pw"));
    assert_eq!(url("sentinel_user=watch"), Err(RedisUrlError::SentinelLogin));
    for scheme in ["redis", "redis-cluster"] {
        let url = format!("{scheme}://a?sentinel_password=pw");
        assert_eq!(parse(&url), Err(RedisUrlError::SentinelLogin));
    }
}

#[test]
fn a_short_address_gets_defaults() {
    let url = parse("redis://cache").unwrap();
    assert_eq!((&url.kind, &url.nodes[..]), (&Kind::Single, &[node("cache", 6379)][..]));
    assert_eq!((url.login, url.sentinel_login), (Login::default(), Login::default()));
    assert_eq!((url.db, url.has_tls), (0, false));
    assert_eq!(url.options, RedisOptions::default());
}

#[test]
fn a_long_address_sets_all_fields() {
    let url = parse(
        "rediss://core:p%40s%2Fs@[::1]:6390/3?prefix=a:&wait=2&wait_ms=300&hold_ms=2000&connect_ms=100\
         &response_ms=900&ca=%2Fetc%2Fca.pem",
    )
    .unwrap();
    assert_eq!((url.nodes, url.db, url.has_tls), (vec![node("::1", 6390)], 3, true));
    assert_eq!(url.login, login(Some("core"), "p@s/s"));
    let expected = RedisOptions {
        prefix: "a:".to_owned(),
        wait: 2,
        wait_time: Duration::from_millis(300),
        hold: Duration::from_secs(2),
        connect: Duration::from_millis(100),
        response: Duration::from_millis(900),
        ca: Some("/etc/ca.pem".into()),
    };
    assert_eq!(url.options, expected);
}

#[test]
fn a_user_may_lack_the_password_in_the_address() {
    let mut url = parse("redis://core@a").unwrap();
    assert_eq!(url.login, Login { user: Some("core".to_owned()), password: None });
    assert!(url.set_password("p/w".to_owned()));
    assert_eq!(url.login, login(Some("core"), "p/w"));
    assert!(!url.set_password("other".to_owned()));
    // An `@` in an option is no sign of a broken password.
    assert!(parse("redis://a?ca=b@c").is_ok());
}

#[test]
fn sentinels_and_clusters_have_several_nodes() {
    let url = parse("redis-sentinel://:pw@a,b:7000/main/2").unwrap();
    assert_eq!(url.kind, Kind::Sentinel("main".to_owned()));
    assert_eq!((url.nodes, url.db), (vec![node("a", 26_379), node("b", 7000)], 2));
    assert_eq!((url.login, url.sentinel_login), (login(None, "pw"), Login::default()));
    let url = parse("rediss-cluster://a:1,b:2").unwrap();
    assert_eq!((url.kind, url.has_tls), (Kind::Cluster, true));
    assert_eq!(url.nodes, [node("a", 1), node("b", 2)]);
}

#[test]
fn each_defect_has_its_own_error() {
    for (text, error) in [
        ("redis:", RedisUrlError::Host),
        ("redis://", RedisUrlError::Host),
        ("redis://a:b", RedisUrlError::Host),
        ("redis://a:0", RedisUrlError::Host),
        ("redis://a:65536", RedisUrlError::Host),
        ("redis://a b", RedisUrlError::Host),
        ("redis://[::1]6379", RedisUrlError::Host),
        ("redis://a,b", RedisUrlError::Hosts),
        ("redis://user:@a", RedisUrlError::Login),
        ("redis://user:%4@a", RedisUrlError::Login),
        ("redis://user:%zz@a", RedisUrlError::Login),
        ("redis://:aB3/xY+z=@a:1/0", RedisUrlError::Encoding),
        ("redis://user:12/3@a", RedisUrlError::Encoding),
        ("redis://user:p?w@a", RedisUrlError::Encoding),
        ("redis-sentinel://user:p/w@a,b/main", RedisUrlError::Encoding),
        ("rediss-cluster://:p?w@a,b", RedisUrlError::Encoding),
        ("redis://a/x", RedisUrlError::Database),
        ("redis-cluster://a/1", RedisUrlError::Database),
        ("redis-sentinel://a", RedisUrlError::Master),
        ("redis://a?password=x", RedisUrlError::Option),
        ("redis://a?wait", RedisUrlError::Option),
        ("redis://a?prefix={x}", RedisUrlError::Prefix),
        ("redis://a?prefix=a%20b", RedisUrlError::Prefix),
        ("redis://a?wait=x", RedisUrlError::Wait),
        ("redis://a?wait=1&wait_ms=2501", RedisUrlError::Wait),
        ("redis://a?response_ms=0", RedisUrlError::Time),
    ] {
        assert_eq!(parse(text), Err(error), "{text}");
    }
}

#[test]
fn limits_are_inclusive() {
    for (option, is_valid) in [
        ("wait=16", true),
        ("wait=17", false),
        ("wait=1&wait_ms=2500", true),
        ("wait=1&wait_ms=2501", false),
        ("wait=1&wait_ms=2501&response_ms=5002", true),
        ("wait_ms=5000", true),
        ("connect_ms=600000", true),
        ("connect_ms=600001", false),
    ] {
        assert_eq!(parse(&format!("redis://a?{option}")).is_ok(), is_valid, "{option}");
    }
    for length in [0, MAX_PREFIX - 1, MAX_PREFIX, MAX_PREFIX + 1] {
        let url = format!("redis://a?prefix={}", "p".repeat(length));
        assert_eq!(parse(&url).is_ok(), length <= MAX_PREFIX, "{length}");
    }
}

#[test]
fn other_schemes_are_not_redis() {
    for text in ["redb:x", "redisx://a", "redis-other://a", "redi://a", "redis", ""] {
        assert_eq!(RedisUrl::parse(text), None, "{text}");
    }
}

#[test]
fn the_password_is_never_printed() {
    for text in [
        "redis://user:canary@host:1/2?wait=1",
        "rediss://:canary@host",
        "redis-sentinel://user:canary@a,b/main",
        "redis-cluster://user:canary@a,b",
        "redis-sentinel://a/main?sentinel_user=canary&sentinel_password=canary",
    ] {
        let url = parse(text).unwrap();
        let printed = format!("{url} {url:?} {url:#?}");
        assert!(!printed.contains("canary") && printed.contains("://"), "{printed}");
        let logins = format!("{:?} {:?}", url.login, url.sentinel_login);
        assert!(!logins.contains("canary"), "{logins}");
    }
    assert_eq!(parse("redis://u:p@h/2").unwrap().to_string(), "redis://h:6379/2");
    let error = parse("redis://user:can/ary@host").unwrap_err();
    assert!(!error.to_string().contains("can"), "{error}");
}
