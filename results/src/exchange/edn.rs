//! As much of EDN as histories are written in.

/// How deep values may lie in each other.
const DEPTH_MAX: u32 = 32;

/// A value and the line that it begins in.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Located {
    pub(super) line: u32,
    pub(super) value: Value,
}

/// A value. Tags are left out: `#jepsen.history.Op{...}` is a map.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Nil,
    Integer(i64),
    /// Without its colon.
    Keyword(String),
    /// A vector, list or set.
    Sequence(Vec<Located>),
    /// Keys and values in turn.
    Map(Vec<Located>),
    /// A string, symbol, character or number that no part of a history needs.
    Other(String),
}

impl Value {
    /// The entry of a map with that keyword.
    pub(super) fn entry(&self, name: &str) -> Option<&Self> {
        let Self::Map(entries) = self else { return None };
        let mut pairs = entries.chunks_exact(2);
        let is_named =
            |pair: &&[Located]| matches!(&pair[0].value, Self::Keyword(key) if key == name);
        pairs.find(is_named).map(|pair| &pair[1].value)
    }

    /// A few words that show it in an error.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Nil => "nil".to_owned(),
            Self::Integer(integer) => integer.to_string(),
            Self::Keyword(name) => format!(":{name}"),
            Self::Sequence(items) => {
                let items: Vec<String> = items.iter().map(|item| item.value.words()).collect();
                format!("[{}]", items.join(" "))
            }
            Self::Map(_) => "a map".to_owned(),
            Self::Other(text) => text.clone(),
        }
    }
}

/// The line and what is wrong there.
pub(super) type Wrong = (u32, String);

/// All values of a text.
pub(super) fn parse(text: &str) -> Result<Vec<Located>, Wrong> {
    let mut parser = Parser { bytes: text.as_bytes(), at: 0, line: 1 };
    let mut values = Vec::new();
    while let Some(value) = parser.next(0)? {
        values.push(value);
    }
    match parser.peek() {
        Some(closing) => Err(parser.wrong(format!("`{}` closes nothing", closing as char))),
        None => Ok(values),
    }
}

struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
    line: u32,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn advance(&mut self) {
        if self.peek() == Some(b'\n') {
            self.line = self.line.saturating_add(1);
        }
        self.at += 1;
    }

    fn wrong(&self, what: String) -> Wrong {
        (self.line, what)
    }

    fn skip_blank(&mut self) {
        let mut is_comment = false;
        while let Some(byte) = self.peek() {
            is_comment = byte != b'\n' && (is_comment || byte == b';');
            if !is_comment && !byte.is_ascii_whitespace() && byte != b',' {
                return;
            }
            self.advance();
        }
    }

    /// The next value, or nothing before a closing bracket and at the end.
    fn next(&mut self, depth: u32) -> Result<Option<Located>, Wrong> {
        if depth > DEPTH_MAX {
            return Err(self.wrong(format!("values lie more than {DEPTH_MAX} deep in each other")));
        }
        self.skip_blank();
        let line = self.line;
        let value = match self.peek() {
            None | Some(b')' | b']' | b'}') => return Ok(None),
            Some(b'(') => Value::Sequence(self.items(b')', depth)?),
            Some(b'[') => Value::Sequence(self.items(b']', depth)?),
            Some(b'{') => {
                let entries = self.items(b'}', depth)?;
                if entries.len() % 2 != 0 {
                    return Err((line, "a map has a key without a value".to_owned()));
                }
                Value::Map(entries)
            }
            Some(b'"') => self.string()?,
            Some(b'#') => return self.dispatched(depth),
            Some(_) => self.atom()?,
        };
        Ok(Some(Located { line, value }))
    }

    /// What stands in brackets.
    fn items(&mut self, closing: u8, depth: u32) -> Result<Vec<Located>, Wrong> {
        let (line, opening) = (self.line, self.peek().unwrap_or_default() as char);
        self.advance();
        let mut items = Vec::new();
        while let Some(item) = self.next(depth + 1)? {
            items.push(item);
        }
        if self.peek() == Some(closing) {
            self.advance();
            return Ok(items);
        }
        let found = self.peek().map_or_else(
            || "the text ends".to_owned(),
            |byte| format!("line {} has `{}`", self.line, byte as char),
        );
        Err((line, format!("`{opening}` is not closed: {found} before `{}`", closing as char)))
    }

    /// A set, a tagged value, or one to be passed over.
    fn dispatched(&mut self, depth: u32) -> Result<Option<Located>, Wrong> {
        let line = self.line;
        self.advance();
        match self.peek() {
            Some(b'{') => {
                let items = self.items(b'}', depth)?;
                Ok(Some(Located { line, value: Value::Sequence(items) }))
            }
            Some(b'_') => {
                self.advance();
                self.next(depth + 1)?;
                self.next(depth + 1)
            }
            Some(_) => {
                self.atom()?;
                self.next(depth + 1)
            }
            None => Err(self.wrong("`#` is followed by nothing".to_owned())),
        }
    }

    fn string(&mut self) -> Result<Value, Wrong> {
        let (line, begin) = (self.line, self.at);
        self.advance();
        while let Some(byte) = self.peek() {
            self.advance();
            if byte == b'\\' {
                self.advance();
            } else if byte == b'"' {
                return Ok(Value::Other(self.text(begin)));
            }
        }
        Err((line, "a string is not closed".to_owned()))
    }

    fn text(&self, begin: usize) -> String {
        String::from_utf8_lossy(&self.bytes[begin..self.at.min(self.bytes.len())]).into_owned()
    }

    fn atom(&mut self) -> Result<Value, Wrong> {
        let begin = self.at;
        while let Some(byte) = self.peek() {
            let is_end = byte.is_ascii_whitespace() || b",;()[]{}\"".contains(&byte);
            if is_end && self.at > begin {
                break;
            }
            self.advance();
        }
        let text = self.text(begin);
        if let Some(name) = text.strip_prefix(':') {
            return Ok(Value::Keyword(name.to_owned()));
        }
        let digits = text.strip_suffix('N').unwrap_or(&text);
        let is_number = digits.trim_start_matches(['-', '+']).bytes().all(|b| b.is_ascii_digit());
        if text == "nil" {
            Ok(Value::Nil)
        } else if digits.bytes().any(|byte| byte.is_ascii_digit()) && is_number {
            digits.parse().map(Value::Integer).map_err(|_| {
                self.wrong(format!("{text}: integers have 64 bits, so at most {}", i64::MAX))
            })
        } else {
            Ok(Value::Other(text))
        }
    }
}
