//! CIDRs and ports as they are written.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use bartizan_crds::Port;

use crate::excerpt::excerpt;
use crate::rule_map::Cidr;

/// Why a text is no address or CIDR.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CidrError {
    #[error(
        "`{0}` is no IP address or CIDR: write one such as `10.0.0.0/8`, `192.0.2.7` or \
         `fd00::/8` (host names are not resolved)"
    )]
    Address(String),
    #[error("`{0}` is in brackets: write the address alone")]
    Brackets(String),
    #[error("`{0}` has a zone: write the address without `%...`")]
    Zone(String),
    #[error("`{0}` is a range: write it as CIDRs")]
    Range(String),
    #[error("`{text}` has a prefix length with leading zeros: write `{plain}`")]
    Zeros { text: String, plain: String },
    #[error("`{text}` has no prefix length of an IPv{version} address: write 0 to {bits}")]
    Prefix { text: String, version: u8, bits: u8 },
    #[error("`{text}` has address bits behind its prefix: did you mean `{network}`?")]
    HostBits { text: String, network: String },
}

/// Parses an address or CIDR; IPv4-mapped IPv6 becomes IPv4.
pub(crate) fn cidr(text: &str) -> Result<Cidr, CidrError> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let owned = || excerpt(text).into_owned();
    let Ok(address) = address.parse::<IpAddr>() else {
        return Err(if text.starts_with('[') {
            CidrError::Brackets(owned())
        } else if address.contains('%') {
            CidrError::Zone(owned())
        } else if address
            .split_once('-')
            .is_some_and(|(from, _)| from.parse::<IpAddr>().is_ok())
        {
            CidrError::Range(owned())
        } else {
            CidrError::Address(owned())
        });
    };
    let (version, bits) = if address.is_ipv4() { (4, 32) } else { (6, 128) };
    let prefix = match prefix {
        None => bits,
        // `024` is 20 to whoever takes it for octal.
        Some(digits)
            if digits.len() > 1
                && digits.starts_with('0')
                && digits.bytes().all(|c| c.is_ascii_digit()) =>
        {
            let plain = match digits.trim_start_matches('0') {
                "" => "0",
                plain => plain,
            };
            let plain = format!("{address}/{plain}");
            let text = owned();
            return Err(CidrError::Zeros { text, plain });
        }
        // `parse` would take `+8`.
        Some(digits) => digits
            .bytes()
            .all(|c| c.is_ascii_digit())
            .then(|| digits.parse::<u8>().ok())
            .flatten()
            .filter(|prefix| *prefix <= bits)
            .ok_or_else(|| CidrError::Prefix {
                text: owned(),
                version,
                bits,
            })?,
    };
    let network = masked(address, prefix);
    if network != address {
        return Err(CidrError::HostBits {
            text: owned(),
            network: format!("{network}/{prefix}"),
        });
    }
    if let IpAddr::V6(v6) = address
        && let Some(v4) = v6.to_ipv4_mapped()
        && prefix >= 96
    {
        return Ok(Cidr {
            address: v4.into(),
            prefix: prefix - 96,
        });
    }
    Ok(Cidr { address, prefix })
}

fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            Ipv4Addr::from_bits(v4.to_bits() & mask).into()
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            Ipv6Addr::from_bits(v6.to_bits() & mask).into()
        }
    }
}

/// Why something is no port or range of ports.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PortError {
    #[error("`{text}` is written in an unusual way: write `{plain}`")]
    Unusual { text: String, plain: String },
    #[error("`{0}` is no port: write `443`, a range such as `8000-8100`, or leave `ports` out")]
    Syntax(String),
    #[error("port {0} doesn't exist: ports are 0 to 65535")]
    Range(String),
    #[error("the range `{text}` is reversed: did you mean `{last}-{first}`?")]
    Reversed { text: String, first: u16, last: u16 },
}

/// Parses a port or a range of ports.
pub(crate) fn ports(port: &Port) -> Result<RangeInclusive<u16>, PortError> {
    let text = match port {
        Port::Number(number) => {
            let port = u16::try_from(*number).or(Err(PortError::Range(number.to_string())))?;
            return Ok(port..=port);
        }
        Port::Text(text) => text,
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (number(first, text)?, number(last, text)?);
    let plain = if text.contains('-') {
        format!("{first}-{last}")
    } else {
        first.to_string()
    };
    // Blanks and leading zeros, which some readers take for octal.
    if plain != *text {
        let text = excerpt(text).into_owned();
        return Err(PortError::Unusual { text, plain });
    }
    if last < first {
        return Err(PortError::Reversed {
            text: text.clone(),
            first,
            last,
        });
    }
    Ok(first..=last)
}

fn number(digits: &str, text: &str) -> Result<u16, PortError> {
    let digits = digits.trim();
    if digits.is_empty() || !digits.bytes().all(|c| c.is_ascii_digit()) {
        return Err(PortError::Syntax(excerpt(text).into_owned()));
    }
    digits
        .parse()
        .or(Err(PortError::Range(excerpt(digits).into_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn parsed(text: &str) -> String {
        match cidr(text) {
            Ok(cidr) => format!("{}/{}", cidr.address, cidr.prefix),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn addresses_and_cidrs() {
        assert_eq!(parsed("10.0.0.0/8"), "10.0.0.0/8");
        assert_eq!(parsed("192.0.2.7"), "192.0.2.7/32");
        assert_eq!(parsed("0.0.0.0/0"), "0.0.0.0/0");
        assert_eq!(parsed("::/0"), "::/0");
        assert_eq!(parsed("fd00::/8"), "fd00::/8");
        assert_eq!(parsed("::1"), "::1/128");
    }

    #[test]
    fn ipv4_mapped_ipv6_is_ipv4() {
        assert_eq!(parsed("::ffff:10.0.0.0/104"), "10.0.0.0/8");
        assert_eq!(parsed("::ffff:192.0.2.7"), "192.0.2.7/32");
        assert_eq!(parsed("::ffff:0.0.0.0/96"), "0.0.0.0/0");
    }

    #[test]
    fn impossible_cidrs_are_refused_with_what_was_meant() {
        assert_eq!(
            parsed("10.1.2.3/8"),
            "`10.1.2.3/8` has address bits behind its prefix: did you mean `10.0.0.0/8`?"
        );
        assert_eq!(
            parsed("fd00::1/8"),
            "`fd00::1/8` has address bits behind its prefix: did you mean `fd00::/8`?"
        );
        assert_eq!(
            parsed("10.0.0.0/33"),
            "`10.0.0.0/33` has no prefix length of an IPv4 address: write 0 to 32"
        );
        for bad in [
            "::/129",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0.0/-1",
            "10.0.0.0/300",
        ] {
            assert!(
                parsed(bad).contains("no prefix length"),
                "{bad}: {}",
                parsed(bad)
            );
        }
        for bad in ["10.0.0/8", "example.org", "300.0.0.1", "010.0.0.1", "", "1"] {
            assert!(
                parsed(bad).contains("no IP address or CIDR"),
                "{bad}: {}",
                parsed(bad)
            );
        }
        for (bad, plain) in [("10.0.0.0/08", "`10.0.0.0/8`"), ("::/00", "`::/0`")] {
            assert!(parsed(bad).contains("leading zeros"), "{}", parsed(bad));
            assert!(parsed(bad).ends_with(plain), "{}", parsed(bad));
        }
        assert!(parsed("[::1]").contains("in brackets"));
        assert!(parsed("fe80::1%eth0").contains("has a zone"));
        assert!(parsed("10.0.0.1-10.0.0.9").contains("write it as CIDRs"));
    }

    #[track_caller]
    fn range(text: &str) -> String {
        match ports(&Port::Text(text.to_owned())) {
            Ok(range) => format!("{}-{}", range.start(), range.end()),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn ports_and_ranges() {
        assert_eq!(ports(&Port::Number(443)), Ok(443..=443));
        assert_eq!(range("443"), "443-443");
        assert_eq!(range("8000-8100"), "8000-8100");
        assert_eq!(range("0-65535"), "0-65535");
    }

    #[test]
    fn impossible_ports_are_refused_with_what_was_meant() {
        let number = |number| ports(&Port::Number(number)).unwrap_err().to_string();
        assert_eq!(
            number(65536),
            "port 65536 doesn't exist: ports are 0 to 65535"
        );
        assert_eq!(number(-1), "port -1 doesn't exist: ports are 0 to 65535");
        assert_eq!(
            range("70000"),
            "port 70000 doesn't exist: ports are 0 to 65535"
        );
        assert_eq!(
            range("8100-8000"),
            "the range `8100-8000` is reversed: did you mean `8000-8100`?"
        );
        for (unusual, plain) in [
            (" 80", "80"),
            ("080", "80"),
            ("8000 - 8100", "8000-8100"),
            ("00-1", "0-1"),
        ] {
            let expected = format!("`{unusual}` is written in an unusual way: write `{plain}`");
            assert_eq!(range(unusual), expected);
        }
        for bad in ["http", "", "-", "80-", "-80", "1-2-3", "*", "+80"] {
            assert!(range(bad).contains("is no port"), "{bad}: {}", range(bad));
        }
    }
}
