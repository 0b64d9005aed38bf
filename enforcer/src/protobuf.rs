//! The protobuf wire format, as much of it as a few small messages need.
//!
//! Two protocols of container runtimes are read (NRI and CRI), and of each message a few
//! fields. What isn't known is skipped, as the format wants it.

/// Bytes that are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// They end within a field.
    #[error("the message ends within a field")]
    Short,
    /// A number of more than 64 bits.
    #[error("the message has a number of more than 64 bits")]
    Varint,
    /// A field of a type that isn't in use, or without a number.
    #[error("the message has a field of an unknown type")]
    Type,
    /// A field that should be text.
    #[error("a text in the message is no UTF-8")]
    Text,
    /// A field of the right number and the wrong type.
    #[error("field {0} of the message has the wrong type")]
    Field(u32),
}

/// A field's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Integers and booleans.
    Number(u64),
    /// Texts and messages.
    Bytes(&'a [u8]),
    /// Fixed-size numbers, which nobody here reads.
    Fixed,
}

/// A field: its number and its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// Its number.
    pub number: u32,
    /// Its value.
    pub value: Value<'a>,
}

impl<'a> Field<'a> {
    /// The bytes of a message.
    pub fn bytes(&self) -> Result<&'a [u8], DecodeError> {
        match self.value {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(DecodeError::Field(self.number)),
        }
    }

    /// A text.
    pub fn text(&self) -> Result<String, DecodeError> {
        match std::str::from_utf8(self.bytes()?) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(DecodeError::Text),
        }
    }

    /// An integer or a boolean.
    pub fn number(&self) -> Result<u64, DecodeError> {
        match self.value {
            Value::Number(number) => Ok(number),
            _ => Err(DecodeError::Field(self.number)),
        }
    }
}

/// The fields of a message in their order; ends with the first error.
#[derive(Clone, Debug)]
pub struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// Reads these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first().ok_or(DecodeError::Short)?;
            self.0 = rest;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(DecodeError::Varint);
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(DecodeError::Varint)
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], DecodeError> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let (taken, rest) = self.0.split_at_checked(length).ok_or(DecodeError::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    fn field(&mut self) -> Result<Field<'a>, DecodeError> {
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).map_or(0, |number| number);
        if number == 0 {
            return Err(DecodeError::Type);
        }
        let value = match tag & 7 {
            0 => Value::Number(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            _ => return Err(DecodeError::Type),
        };
        Ok(Field { number, value })
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

/// Writes a message, field by field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message(Vec<u8>);

impl Message {
    /// An empty message.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an integer.
    #[must_use]
    pub fn number(mut self, field: u32, number: u64) -> Self {
        self.varint(u64::from(field) << 3);
        self.varint(number);
        self
    }

    /// Adds a text or a message.
    #[must_use]
    pub fn bytes(mut self, field: u32, bytes: impl AsRef<[u8]>) -> Self {
        self.varint(u64::from(field) << 3 | 2);
        self.varint(bytes.as_ref().len() as u64);
        self.0.extend_from_slice(bytes.as_ref());
        self
    }

    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }
}

impl AsRef<[u8]> for Message {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(bytes: &[u8]) -> Result<Vec<Field<'_>>, DecodeError> {
        Fields::new(bytes).collect()
    }

    #[test]
    fn the_formats_own_examples_are_read() {
        // From the format's description: field 1 is 150, field 2 is "testing".
        assert_eq!(fields(&[8, 0x96, 1]).unwrap()[0].number(), Ok(150));
        let bytes = b"\x12\x07testing";
        assert_eq!(fields(bytes).unwrap()[0].text().unwrap(), "testing");
    }

    #[test]
    fn what_is_written_is_read_back() {
        let message = Message::new()
            .number(1, u64::MAX)
            .bytes(536_870_911, "x")
            .bytes(3, Message::new().number(2, 0));
        let fields = fields(message.as_ref()).unwrap();
        assert_eq!(fields[0].number(), Ok(u64::MAX));
        assert_eq!(
            (fields[1].number, fields[1].text().unwrap().as_str()),
            (536_870_911, "x")
        );
        assert_eq!(fields[2].bytes(), Ok(&[0x10, 0][..]));
        assert_eq!(fields[2].number(), Err(DecodeError::Field(3)));
    }

    #[test]
    fn fixed_numbers_are_skipped() {
        let bytes = [0x0d, 1, 2, 3, 4, 0x11, 1, 2, 3, 4, 5, 6, 7, 8, 0x18, 7];
        assert_eq!(fields(&bytes).unwrap()[2].number(), Ok(7));
    }

    #[test]
    fn broken_messages_are_refused() {
        for (bytes, expected) in [
            (&[8][..], DecodeError::Short),
            (&[0x12, 5, 1], DecodeError::Short),
            (&[0x12, 0xff, 0xff, 0xff, 0xff, 0x0f], DecodeError::Short),
            (&[0], DecodeError::Type),
            (&[0x0b], DecodeError::Type),
            (
                &[8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2],
                DecodeError::Varint,
            ),
        ] {
            assert_eq!(fields(bytes), Err(expected), "{bytes:?}");
        }
        assert_eq!(
            fields(b"\x12\x01\xff").unwrap()[0].text(),
            Err(DecodeError::Text)
        );
    }
}
