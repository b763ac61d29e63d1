//! How texts that come from outside are shown: names in a model, paths, what a compiler says.
//!
//! Whatever reaches a terminal, the report or C goes through one function of this module: [`name`] where the importer takes
//! a name from a file, so that no name in a [`Network`](crate::Network) of it holds anything that cannot be seen; [`lines`]
//! where a program writes to a terminal; [`ShownPath`] for paths in messages, of which none may begin a line; [`markdown`] and [`markdown_name`] for the report; [`c_comment`] for C. All of
//! them write what cannot be seen as its number, [`visible`]. The usual names stay as they are.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::path::Path;

/// Characters of a name that is kept whole.
const WHOLE: usize = 240;
/// Characters of a longer one that are kept.
const KEPT: usize = 160;

/// Characters beside the control characters that cannot be seen, or that change how others are shown: soft hyphen, marks
/// and overrides of writing direction, joiners, fillers, line separators, variation selectors, tags (Unicode's property
/// `Default_Ignorable_Code_Point`, with the line separators and the marks of annotations).
const UNSEEN: [std::ops::RangeInclusive<char>; 17] = [
    '\u{ad}'..='\u{ad}',
    '\u{34f}'..='\u{34f}',
    '\u{61c}'..='\u{61c}',
    '\u{115f}'..='\u{1160}',
    '\u{17b4}'..='\u{17b5}',
    '\u{180b}'..='\u{180f}',
    '\u{200b}'..='\u{200f}',
    '\u{2028}'..='\u{202e}',
    '\u{2060}'..='\u{206f}',
    '\u{3164}'..='\u{3164}',
    '\u{fe00}'..='\u{fe0f}',
    '\u{feff}'..='\u{feff}',
    '\u{ffa0}'..='\u{ffa0}',
    '\u{fff0}'..='\u{fffb}',
    '\u{1bca0}'..='\u{1bca3}',
    '\u{1d173}'..='\u{1d17a}',
    '\u{e0000}'..='\u{e0fff}',
];

fn is_unseen(c: char) -> bool {
    !(' '..='~').contains(&c) && (c.is_control() || UNSEEN.iter().any(|range| range.contains(&c)))
}

/// `text` with each character that cannot be seen as `\u{1b}`, its number. Different texts stay different: a backslash
/// before `u{` is written as its number too.
pub fn visible(text: &str) -> Cow<'_, str> {
    escaped(text, is_unseen)
}

fn escaped(text: &str, unseen: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&unseen) && !text.contains("\\u{") {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        if unseen(c) || text[at..].starts_with("\\u{") {
            // Writing to a String cannot fail.
            let _ = write!(shown, "\\u{{{:x}}}", u32::from(c));
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// A name as it is kept and shown: [`visible`], and where it has more than 240 characters the first 160 with a number made
/// from all of them, so that long names that end differently stay different.
pub fn name(text: &str) -> Cow<'_, str> {
    let shown = visible(text);
    if shown.len() <= WHOLE || shown.chars().count() <= WHOLE {
        return shown;
    }
    let kept: String = shown.chars().take(KEPT).collect();
    // FNV-1a of 64 bits (http://www.isthe.com/chongo/tech/comp/fnv/).
    let number = shown
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    Cow::Owned(format!("{kept}...{number:016x}"))
}

/// Paths as messages show them.
pub trait ShownPath {
    /// The path in one line, [`visible`]: what a user or a folder calls a file may hold line breaks, and must not look like
    /// a message of its own.
    fn shown(&self) -> String;
}

impl ShownPath for Path {
    fn shown(&self) -> String {
        visible(&self.to_string_lossy()).into_owned()
    }
}

/// What a program writes to a terminal: lines stay lines, a tab becomes four spaces, anything else that cannot be seen its
/// number.
pub fn lines(text: &str) -> Cow<'_, str> {
    let hidden = |c| c != '\n' && is_unseen(c);
    if !text.contains(hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => shown.push_str("    "),
            // Writing to a String cannot fail.
            c if hidden(c) => write!(shown, "\\u{{{:x}}}", u32::from(c)).unwrap_or_default(),
            c => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

/// Characters that begin markup in markdown wherever they stand.
const MARKUP: [char; 2] = ['~', '`'];
/// Characters that begin a list, a quote or a heading where a line begins with them.
const LINE_MARKUP: [char; 5] = ['#', '>', '+', '-', '='];

/// A sentence in markdown, in one line, that reads as it does in plain text: no HTML, links, addresses that become links (those
/// of mail become code, since some readers link them however their `@` is written), emphasis or bars that end a cell. What stands between two backticks is code, as in the sentences of this program, and is
/// left as it is but for `<`, `|` and `](`.
pub fn markdown(text: &str) -> String {
    let text = visible(text);
    let mut parts = text.split('`').peekable();
    let mut shown = plain_markdown(parts.next().unwrap_or_default(), true);
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            // A backtick without its partner.
            shown += "&#96;";
            shown += &plain_markdown(part, false);
            break;
        }
        // Two backticks in turn would begin code of another kind.
        let is_code = !part.is_empty() && !part.trim().is_empty();
        let code = within_code(part);
        if is_code && shown.ends_with('`') {
            shown.push(' ');
        }
        shown += &if is_code { format!("`{code}`") } else { format!("&#96;{part}&#96;") };
        let plain = plain_markdown(parts.next().unwrap_or_default(), false);
        if shown.ends_with('`') && plain.starts_with('`') {
            shown.push(' ');
        }
        shown += &plain;
    }
    shown
}

/// As [`markdown`] a name, which has no say in how what stands round it is read: backticks are written as their number too.
pub fn markdown_name(text: &str) -> String {
    plain_markdown(&visible(text), true)
}

/// A name within backticks in markdown.
pub fn markdown_code(text: &str) -> String {
    within_code(&visible(text)).replace('`', "&#96;")
}

/// What is no markup within code is written apart all the same: not every reader of markdown knows code as others do.
fn within_code(text: &str) -> String {
    text.replace('<', "&lt;").replace('|', "\\|").replace("](", "]\\(")
}

/// Whether `c` can stand before the `@` of an address of mail.
fn is_local(c: char) -> bool {
    c.is_ascii_alphanumeric() || ".-_+".contains(c)
}

/// How long an address of mail is that `text` begins with; `None` where it begins with none.
fn mail_address(text: &str) -> Option<usize> {
    let at = text.find(|c| !is_local(c)).filter(|at| *at > 0 && text[*at..].starts_with('@'))?;
    let domain = &text[at + 1..];
    let end = domain.find(|c| !is_local(c) || c == '+').unwrap_or(domain.len());
    domain[..end].contains('.').then_some(at + 1 + end)
}

fn plain_markdown(text: &str, is_first: bool) -> String {
    let mut shown = String::with_capacity(text.len());
    let (mut before, mut mail_end) = (None, 0);
    for (at, c) in text.char_indices() {
        if at < mail_end {
            continue;
        }
        if !before.is_some_and(is_local)
            && let Some(length) = mail_address(&text[at..])
        {
            mail_end = at + length;
            shown += &format!("`{}`", &text[at..mail_end]);
            before = Some('`');
            continue;
        }
        let rest = &text[at..];
        let after = rest[c.len_utf8()..].chars().next();
        let joins = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        let is_space = |c: Option<char>| c.is_none_or(char::is_whitespace);
        let is_markup = MARKUP.contains(&c)
            || is_first && at == 0 && LINE_MARKUP.contains(&c)
            // Of a link, or of what one is defined by.
            || c == ']' && after.is_some_and(|c| "([:".contains(c))
            || c == '&' && after.is_some_and(|c| c == '#' || c.is_ascii_alphabetic())
            || c == '*' && !(is_space(before) && is_space(after))
            // Within a word it is no emphasis.
            || c == '_' && !(joins(before) && joins(after))
            || c == '\\' && after.is_some_and(|c| c.is_ascii_punctuation() && c != '{')
            || c == ':' && rest.starts_with("://")
            || c == '.' && shown.to_ascii_lowercase().ends_with("www");
        match c {
            '<' => shown += "&lt;",
            '|' => shown += "\\|",
            // Writing to a String cannot fail.
            c if is_markup => write!(shown, "&#{};", u32::from(c)).unwrap_or_default(),
            c => shown.push(c),
        }
        before = Some(c);
    }
    shown
}

/// Text in a C comment; lines stay lines. What would end the comment, open another, continue the line or be a trigraph is
/// torn apart, and `?` stands for what is no printable ASCII: compilers warn of it, and some readers of C take nothing else.
pub fn c_comment(text: &str) -> String {
    let printable: String =
        text.chars().map(|c| if c == '\n' || (' '..='~').contains(&c) && c != '\\' { c } else { '?' }).collect();
    printable.replace("*/", "* /").replace("/*", "/ *").replace("??", "? ?")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What was written as its number read back.
    fn original(shown: &str) -> String {
        let mut parts = shown.split("\\u{");
        let mut text = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (number, rest) = part.split_once('}').unwrap();
            text.push(char::from_u32(u32::from_str_radix(number, 16).unwrap()).unwrap());
            text.push_str(rest);
        }
        text
    }

    #[test]
    fn usual_names_stay_as_they_are() {
        for text in ["/conv1/Conv_output_0", "StatefulPartitionedCall/model/re_lu:0", "a\\b", "größe", "卷积", "a|b"]
        {
            assert!(matches!(name(text), Cow::Borrowed(same) if same == text));
            assert!(matches!(lines(text), Cow::Borrowed(same) if same == text));
        }
        assert_eq!(markdown("layer `x_1`: too steep"), "layer `x_1`: too steep");
    }

    #[test]
    fn what_cannot_be_seen_is_written_as_its_number() {
        assert_eq!(visible("a\u{1b}[31m\u{7}\r\n\t\u{7f}\u{9b}"), "a\\u{1b}[31m\\u{7}\\u{d}\\u{a}\\u{9}\\u{7f}\\u{9b}");
        assert_eq!(visible("\u{202e}x\u{200b}\u{2066}\u{feff}"), "\\u{202e}x\\u{200b}\\u{2066}\\u{feff}");
        assert_eq!(visible("\\u{1b}"), "\\u{5c}u{1b}");
        assert_eq!(lines("a\n\tb\u{1b}c\r\n"), "a\n    b\\u{1b}c\\u{d}\n");
    }

    #[test]
    fn markdown_holds_no_html_and_no_links() {
        assert_eq!(markdown("<script>|![x](y)"), "&lt;script>\\|![x&#93;(y)");
        assert_eq!(markdown_name("a`b\nc"), "a&#96;b\\u{a}c");
    }

    #[test]
    fn names_in_markdown_stay_names() {
        for (name, shown) in [
            ("**b**", "&#42;&#42;b&#42;&#42;"),
            ("_b_", "&#95;b&#95;"),
            ("~~b~~", "&#126;&#126;b&#126;&#126;"),
            ("https://x.org", "https&#58;//x.org"),
            ("www.x.org", "www&#46;x.org"),
            ("+me.i@x-y.org, 2", "`+me.i@x-y.org`, 2"),
            ("_@x.org/www.a@b.c", "`_@x.org`/`www.a@b.c`"),
            ("conv@2x", "conv@2x"),
            ("\\*b", "&#92;&#42;b"),
            ("&lt;b", "&#38;lt;b"),
            ("value * 0.5 - [0.5, 1]", "value * 0.5 - [0.5, 1]"),
            ("# b", "&#35; b"),
            ("conv_1/Conv_output_0:0", "conv_1/Conv_output_0:0"),
        ] {
            assert_eq!(markdown_name(name), shown);
            assert_eq!(markdown(&format!("of `{name}`")), format!("of `{name}`").replace('<', "&lt;"));
        }
        // A name with backticks cannot end the code that it stands in and go on as markup.
        assert_eq!(markdown("of `a`**b**`c`, `d`"), "of `a`&#42;&#42;b&#42;&#42;`c`, `d`");
        assert_eq!(markdown("of `a`b@c.org`d`"), "of `a` `b@c.org` `d`");
        assert_eq!(markdown("a`**b**"), "a&#96;&#42;&#42;b&#42;&#42;");
        assert_eq!(markdown("``**b**"), "&#96;&#96;&#42;&#42;b&#42;&#42;");
    }

    #[test]
    fn a_path_is_one_line() {
        assert_eq!(Path::new("a\nerror: x").shown(), "a\\u{a}error: x");
        assert_eq!(Path::new("runs/größe 1").shown(), "runs/größe 1");
    }

    #[test]
    fn comments_of_c_end_where_they_end() {
        let text = c_comment("a*/b/*c??/\\\n*//\u{e9}*??/");
        assert!(!text.contains("*/") && !text.contains("/*") && !text.contains("??") && !text.contains('\\'), "{text}");
    }

    #[test]
    fn long_names_are_cut_and_stay_different() {
        let [a, b] = ["a", "b"].map(|end| name(&("x".repeat(10_000) + end)).into_owned());
        assert!(a != b && a.len() < WHOLE && b.len() < WHOLE, "{a} {b}");
        assert_eq!(name(&"ä".repeat(WHOLE)), "ä".repeat(WHOLE));
        assert_eq!(name(&name(&"x".repeat(10_000))), name(&"x".repeat(10_000)), "a name that was cut is cut no more");
    }

    proptest! {
        #[test]
        fn different_texts_stay_different(text in any::<String>(), tail in "(\\\\|u|\\{|5c|\\}|\u{1b}|\n){0,6}") {
            let text = text + &tail;
            prop_assert_eq!(original(&visible(&text)), text);
        }

        #[test]
        fn nothing_unseen_is_left(text in "[\\PC\\pC]{0,20}") {
            prop_assert!(!visible(&text).contains(is_unseen));
            prop_assert!(!lines(&text).contains(|c| c != '\n' && is_unseen(c)));
            prop_assert!(!markdown(&text).contains(['<', '\n']));
            let comment = c_comment(&text);
            prop_assert!(comment.chars().all(|c| c == '\n' || (' '..='~').contains(&c)));
        }
    }
}
