//! A reader of the protobuf encoding for the stored blobs, independent of the code that writes them.

use bytes::Bytes;

/// A field value, by wire type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Number(u64),
    Bytes(Bytes),
}

/// The fields of a message in their order.
///
/// # Errors
/// The bytes are not valid protobuf, or contain a group.
pub(super) fn fields(mut bytes: Bytes) -> Result<Vec<(u64, Value)>, String> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        fields.push(field(&mut bytes)?);
    }
    Ok(fields)
}

/// Reads a field.
pub(super) fn field(bytes: &mut Bytes) -> Result<(u64, Value), String> {
    let key = number(bytes)?;
    let value = match key & 7 {
        0 => Value::Number(number(bytes)?),
        1 => Value::Bytes(split(bytes, 8)?),
        2 => {
            let length = number(bytes)?;
            Value::Bytes(split(bytes, length)?)
        }
        5 => Value::Bytes(split(bytes, 4)?),
        other => return Err(format!("wire type {other}")),
    };
    Ok((key >> 3, value))
}

/// Reads a varint.
fn number(bytes: &mut Bytes) -> Result<u64, String> {
    let mut value = 0;
    for index in 0..10.min(bytes.len()) {
        value |= u64::from(bytes[index] & 0x7f) << (7 * index);
        if bytes[index] < 0x80 {
            drop(bytes.split_to(index + 1));
            return Ok(value);
        }
    }
    Err("an unfinished number".to_owned())
}

impl Value {
    pub(super) fn number(self) -> Result<u64, String> {
        match self {
            Self::Number(number) => Ok(number),
            Self::Bytes(_) => Err("bytes in place of a number".to_owned()),
        }
    }

    pub(super) fn bytes(self) -> Result<Bytes, String> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Number(_) => Err("a number in place of bytes".to_owned()),
        }
    }

    pub(super) fn text(self) -> Result<String, String> {
        String::from_utf8(self.bytes()?.to_vec()).map_err(|error| error.to_string())
    }

    /// The numbers of a repeated field, packed or not.
    pub(super) fn numbers(self) -> Result<Vec<u64>, String> {
        match self {
            Self::Number(number) => Ok(vec![number]),
            Self::Bytes(mut bytes) => {
                let mut numbers = Vec::new();
                while !bytes.is_empty() {
                    numbers.push(number(&mut bytes)?);
                }
                Ok(numbers)
            }
        }
    }
}

fn split(bytes: &mut Bytes, length: u64) -> Result<Bytes, String> {
    match usize::try_from(length) {
        Ok(length) if length <= bytes.len() => Ok(bytes.split_to(length)),
        Ok(_) | Err(_) => Err("a truncated field".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_each_wire_type_are_read() {
        let bytes = Bytes::from_static(&[0x08, 0xac, 0x02, 0x12, 2, 7, 8, 0x1d, 1, 2, 3, 4]);
        let expected = [
            (1, Value::Number(300)),
            (2, Value::Bytes(Bytes::from_static(&[7, 8]))),
            (3, Value::Bytes(Bytes::from_static(&[1, 2, 3, 4]))),
        ];
        assert_eq!(fields(bytes).as_deref(), Ok(&expected[..]));
        assert_eq!(expected[1].1.clone().numbers(), Ok(vec![7, 8]));
    }

    #[test]
    fn truncated_fields_are_errors() {
        for bytes in [&[0x08][..], &[0x08, 0x80], &[0x12, 3, 1, 2], &[0x0b]] {
            assert!(fields(Bytes::copy_from_slice(bytes)).is_err(), "{bytes:?}");
        }
    }
}
