//! Parsing of configured core addresses. No sockets and no name resolution.

use std::fmt;

use tonic::transport::Uri;

use crate::error::StartError;

/// Most addresses per service, far above the cores of one deployment.
const MAX_ADDRESSES: usize = 64;

/// The addresses of cores: `HOST:PORT` or `http://HOST:PORT`, as one text with commas or as a list.
///
/// All socket addresses of a host name are used, and the name is resolved again every few seconds. The texts
/// are parsed by [`ServiceBuilder::start`](crate::ServiceBuilder::start) and
/// [`Streams::at`](crate::Streams::at).
///
/// ```
/// use minerva_app::Addresses;
///
/// let one_text = Addresses::from("core-a:7400, http://core-b:7400");
/// let list = Addresses::from(["core-a:7400", "http://core-b:7400"]);
/// assert_eq!(one_text, list);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses(Vec<String>);

/// One parsed address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// Host name or IP address, without the brackets of IPv6.
    pub(super) host: String,
    pub(super) port: u16,
    /// Authority named by the requests.
    pub(super) origin: Uri,
}

impl Addresses {
    /// Parses all addresses and removes duplicates.
    pub(crate) fn parse(self) -> Result<Vec<Address>, StartError> {
        let mut addresses = Vec::new();
        for text in self.0 {
            let address = Address::parse(&text).ok_or(StartError::Address { address: text })?;
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        match addresses.len() {
            0 => Err(StartError::Address { address: String::new() }),
            1..=MAX_ADDRESSES => Ok(addresses),
            count => Err(StartError::TooManyAddresses { count, max: MAX_ADDRESSES }),
        }
    }
}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(", "))
    }
}

impl Address {
    fn parse(text: &str) -> Option<Self> {
        let url = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let origin: Uri = url.parse().ok()?;
        let host = origin.host()?.trim_start_matches('[').trim_end_matches(']').to_owned();
        let plain = matches!(origin.path(), "" | "/") && origin.query().is_none();
        if origin.scheme_str() != Some("http") || host.is_empty() || !plain {
            return None;
        }
        let port = origin.port_u16().unwrap_or(80);
        Some(Self { host, port, origin })
    }

    /// Identifies the core until the core's id is known.
    pub(super) fn key(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

impl From<&str> for Addresses {
    fn from(text: &str) -> Self {
        Self(text.split(',').map(|address| address.trim().to_owned()).collect())
    }
}

impl From<&String> for Addresses {
    fn from(text: &String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<String> for Addresses {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl<A: Into<String>> From<Vec<A>> for Addresses {
    fn from(addresses: Vec<A>) -> Self {
        addresses.into_iter().collect()
    }
}

impl<A: Into<String>, const N: usize> From<[A; N]> for Addresses {
    fn from(addresses: [A; N]) -> Self {
        addresses.into_iter().collect()
    }
}

impl<A: Into<String>> FromIterator<A> for Addresses {
    fn from_iter<I: IntoIterator<Item = A>>(addresses: I) -> Self {
        Self(addresses.into_iter().map(Into::into).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(addresses: impl Into<Addresses>) -> Vec<String> {
        addresses.into().parse().unwrap().iter().map(Address::key).collect()
    }

    #[test]
    fn an_address_is_a_text_or_a_list() {
        assert_eq!(texts("127.0.0.1:7400"), ["127.0.0.1:7400"]);
        assert_eq!(texts("http://core:7400/"), ["core:7400"]);
        assert_eq!(texts("a:1, http://[::1]:2,a:1"), ["a:1", "::1:2"]);
        assert_eq!(texts(vec!["a:1", "b:2"]), ["a:1", "b:2"]);
        assert_eq!(texts(["a:1".to_owned()]), ["a:1"]);
        let listed: Addresses = (1..=2).map(|port| format!("a:{port}")).collect();
        assert_eq!(texts(listed), ["a:1", "a:2"]);
    }

    #[test]
    fn an_invalid_address_is_named_in_the_error() {
        for wrong in
            ["", "http://", "ftp://core:1", "a b", "https://a:1", "a:1,", "a:1,,b:1", "a:1/x"]
        {
            let error = Addresses::from(wrong).parse().unwrap_err();
            assert!(matches!(error, StartError::Address { .. }), "{wrong}: {error}");
        }
        let none: Addresses = Vec::<String>::new().into();
        assert!(none.parse().is_err());
    }

    #[test]
    fn a_service_has_at_most_64_addresses() {
        for (count, fits) in [(63, true), (64, true), (65, false)] {
            let addresses: Addresses = (1..=count).map(|port| format!("a:{port}")).collect();
            assert_eq!(addresses.parse().is_ok(), fits, "{count}");
        }
    }
}
