//! Layout of C text: lines, comments, blocks, arrays, initialisers. It knows nothing of networks.

use std::fmt::{Display, Write as _};

const INDENT: &str = "    ";
const COLUMNS: usize = 100;

/// An initialiser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// A number.
    Number(i64),
    /// An expression as it stands.
    Expression(String),
    /// Fields by name, in the order of their declaration.
    Struct(Vec<(&'static str, Value)>),
}

impl Value {
    pub(crate) fn number(value: impl Into<i64>) -> Self {
        Self::Number(value.into())
    }

    pub(crate) fn name(name: impl Into<String>) -> Self {
        Self::Expression(name.into())
    }
}

/// C text under construction.
#[derive(Clone, Debug, Default)]
pub(crate) struct CWriter {
    text: String,
    depth: usize,
}

impl CWriter {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn finish(self) -> String {
        debug_assert_eq!(self.depth, 0, "a block was left open");
        self.text
    }

    pub(crate) fn line(&mut self, line: impl Display) {
        for _ in 0..self.depth {
            self.text.push_str(INDENT);
        }
        let _ = writeln!(self.text, "{line}");
    }

    pub(crate) fn blank(&mut self) {
        self.text.push('\n');
    }

    /// Text that already is C, as it stands.
    pub(crate) fn verbatim(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// A comment; each line of `text` is a paragraph and is wrapped.
    pub(crate) fn comment(&mut self, text: &str) {
        let text = bitesize_ir::shown::c_comment(text);
        let room = COLUMNS - self.depth * INDENT.len() - "/*  */".len();
        if !text.contains('\n') && text.len() <= room {
            self.line(format!("/* {text} */"));
            return;
        }
        self.line("/*");
        for line in text.lines().flat_map(|paragraph| wrap(paragraph, room)) {
            self.line(format!(" * {line}").trim_end());
        }
        self.line(" */");
    }

    /// `body` behind an include guard and `#include INCLUDED`, with C linkage in C++.
    pub(crate) fn header(&mut self, guard: &str, included: &str, body: impl FnOnce(&mut Self)) {
        self.line(format!("#ifndef {guard}"));
        self.line(format!("#define {guard}"));
        self.blank();
        self.line(format!("#include {included}"));
        self.blank();
        self.line("#ifdef __cplusplus");
        self.line("extern \"C\" {");
        self.line("#endif");
        self.blank();
        body(self);
        self.blank();
        self.line("#ifdef __cplusplus");
        self.line("}");
        self.line("#endif");
        self.blank();
        self.line("#endif");
    }

    /// `head`, then `body` between braces.
    pub(crate) fn block(&mut self, head: &str, body: impl FnOnce(&mut Self)) {
        self.line(head);
        self.line("{");
        self.depth += 1;
        body(self);
        self.depth -= 1;
        self.line("}");
    }

    /// `body` one level further in.
    pub(crate) fn indented(&mut self, body: impl FnOnce(&mut Self)) {
        self.depth += 1;
        body(self);
        self.depth -= 1;
    }

    /// `declaration = { numbers };`, as many numbers on a line as fit.
    pub(crate) fn array<T: Display>(&mut self, declaration: &str, numbers: impl IntoIterator<Item = T>) {
        self.line(format!("{declaration} = {{"));
        self.numbers(numbers);
        self.line("};");
    }

    /// `declaration = { {...}, {...} };`
    pub(crate) fn array_of_rows<'a>(&mut self, declaration: &str, rows: impl IntoIterator<Item = &'a [u8]>) {
        self.line(format!("{declaration} = {{"));
        self.depth += 1;
        for row in rows {
            self.line("{");
            self.numbers(row);
            self.line("},");
        }
        self.depth -= 1;
        self.line("};");
    }

    fn numbers<T: Display>(&mut self, numbers: impl IntoIterator<Item = T>) {
        let mut line = INDENT.repeat(self.depth + 1);
        let indent = line.len();
        let mut number = String::new();
        for value in numbers {
            number.clear();
            let _ = write!(number, "{value},");
            if line.len() + number.len() > COLUMNS {
                self.text.push_str(&line);
                self.text.push('\n');
                line.truncate(indent);
            }
            line.push_str(&number);
        }
        if line.len() > indent {
            self.text.push_str(&line);
            self.text.push('\n');
        }
    }

    /// `declaration = { .field = value, ... };`, nested structs on one line.
    pub(crate) fn object(&mut self, declaration: &str, fields: &[(&'static str, Value)]) {
        self.line(format!("{declaration} = {{"));
        self.depth += 1;
        for (field, value) in fields {
            match value {
                Value::Struct(inner) => self.nested(field, inner),
                value => self.line(format!(".{field} = {},", scalar(value))),
            }
        }
        self.depth -= 1;
        self.line("};");
    }

    fn nested(&mut self, field: &str, fields: &[(&'static str, Value)]) {
        self.line(format!(".{field} = {{"));
        self.depth += 1;
        let mut line = String::new();
        for (name, value) in fields {
            let item = format!(".{name} = {},", scalar(value));
            if self.depth * INDENT.len() + line.len() + item.len() > COLUMNS {
                self.line(line.trim_end());
                line.clear();
            }
            line.push_str(&item);
            line.push(' ');
        }
        self.line(line.trim_end());
        self.depth -= 1;
        self.line("},");
    }
}

/// `paragraph` in lines of at most `columns` characters, but for words that are longer.
fn wrap(paragraph: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in paragraph.split(' ') {
        let line = lines.last_mut().expect("there is a line");
        if line.is_empty() {
            line.push_str(word);
        } else if line.len() + 1 + word.len() <= columns {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

fn scalar(value: &Value) -> String {
    match value {
        Value::Number(number) => number.to_string(),
        Value::Expression(text) => text.clone(),
        Value::Struct(fields) => {
            let items: Vec<String> =
                fields.iter().map(|(name, value)| format!(".{name} = {}", scalar(value))).collect();
            format!("{{{}}}", items.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_wrap_and_blocks_indent() {
        let mut c = CWriter::new();
        c.array("static const int a[60]", 1000..1060);
        c.block("void f(void)", |c| c.line("g();"));
        let text = c.finish();
        assert!(text.lines().all(|line| line.len() <= COLUMNS), "{text}");
        assert!(text.ends_with("void f(void)\n{\n    g();\n}\n"), "{text}");
    }

    #[test]
    fn a_name_cannot_leave_its_comment() {
        let mut c = CWriter::new();
        c.comment("conv/*1*/ \\ \u{e9} ??/");
        assert_eq!(c.finish(), "/* conv/ *1* / ? ? ? ? /  */\n".replace(" /  */", "/ */"));
    }
}
