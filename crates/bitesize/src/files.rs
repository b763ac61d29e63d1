//! How files that a user names are read: only regular files, and of a file no more than its size.
//!
//! A FIFO would wait for a writer and a device may never end, so neither is opened. The size that a file has when it is
//! opened bounds what is read of it.

use std::fs::{File, FileType, Metadata};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom};
use std::path::Path;

/// The largest text (settings, a policy, a board) that is read, in bytes: a policy of 10,000 layers has a tenth of it.
pub const MAX_TEXT_BYTES: u64 = 8 << 20;

/// The largest file of any kind that is read whole, in bytes: no protobuf message may be larger, and what a run keeps is
/// far smaller.
pub const MAX_BYTES: u64 = 2 << 30;

/// What an entry of a folder is that is neither a regular file nor a folder.
fn kind(of: FileType) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt as _;
        if of.is_fifo() {
            return "a FIFO";
        }
        if of.is_char_device() || of.is_block_device() {
            return "a device";
        }
        if of.is_socket() {
            return "a socket";
        }
    }
    if of.is_dir() { "a folder" } else { "something else" }
}

/// Refuses what is no regular file.
///
/// # Errors
/// A sentence that says what it is.
pub fn check_regular(metadata: &Metadata) -> io::Result<()> {
    if metadata.is_file() {
        return Ok(());
    }
    let problem = format!("it is {}, not a regular file", kind(metadata.file_type()));
    Err(io::Error::new(ErrorKind::InvalidInput, problem))
}

/// Opens the regular file `path`; links are followed. Gives its size in bytes too.
///
/// # Errors
/// It is not there, is no regular file or cannot be opened.
pub fn open(path: &Path) -> io::Result<(File, u64)> {
    // Looked at first: opening a FIFO waits for a writer.
    check_regular(&std::fs::metadata(path)?)?;
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    check_regular(&metadata)?;
    Ok((file, metadata.len()))
}

/// Refuses a file of `size` bytes where `limit` are allowed.
///
/// # Errors
/// A sentence: both sizes.
fn check_size(size: u64, limit: u64) -> io::Result<()> {
    if size <= limit {
        return Ok(());
    }
    let problem = format!("it has {size} bytes, more than the {limit} that such a file may have");
    Err(io::Error::new(ErrorKind::FileTooLarge, problem))
}

fn read_whole(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let (file, size) = open(path)?;
    check_size(size, limit)?;
    let mut bytes = Vec::with_capacity(size as usize);
    file.take(size).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// As [`open`], where all that the file holds is going to be read.
///
/// # Errors
/// As [`open`]; more than [`MAX_BYTES`].
pub fn open_whole(path: &Path) -> io::Result<(File, u64)> {
    let (file, size) = open(path)?;
    check_size(size, MAX_BYTES)?;
    Ok((file, size))
}

/// `length` bytes of `from`, which holds about as many: room is made as they arrive, so that a promise takes nothing.
///
/// # Errors
/// It ends before, or cannot be read.
pub(crate) fn read_exactly(from: &mut impl io::Read, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(length).read_to_end(&mut bytes)?;
    if (bytes.len() as u64) < length {
        return Err(io::Error::new(
            ErrorKind::UnexpectedEof,
            format!("it ends {} bytes early", length - bytes.len() as u64),
        ));
    }
    Ok(bytes)
}

/// The bytes of the regular file `path`, as many as it has when it is opened.
///
/// # Errors
/// As [`open`]; more than [`MAX_BYTES`].
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    read_whole(path, MAX_BYTES)
}

/// The text of the regular file `path`.
///
/// # Errors
/// As [`open`]; more than [`MAX_TEXT_BYTES`], or no UTF-8.
pub fn read_text(path: &Path) -> io::Result<String> {
    let bytes = read_whole(path, MAX_TEXT_BYTES)?;
    String::from_utf8(bytes).map_err(|e| io::Error::new(ErrorKind::InvalidData, format!("it is no UTF-8 text: {e}")))
}

/// The bytes of the regular file `path` from `offset` on, at most `length` of them: fewer where the file ends before.
///
/// # Errors
/// As [`open`]; more than [`MAX_BYTES`] of them.
pub fn read_part(path: &Path, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let (mut file, size) = open(path)?;
    let length = size.saturating_sub(offset).min(length as u64);
    check_size(length, MAX_BYTES)?;
    file.seek(SeekFrom::Start(offset.min(size)))?;
    let mut bytes = Vec::with_capacity(length as usize);
    file.take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_ends_where_the_file_does() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, b"0123456789").unwrap();
        let check = |offset, length, expected: &[u8]| {
            assert_eq!(read_part(&path, offset, length).unwrap(), expected, "{offset} {length}");
        };
        check(0, 3, b"012");
        check(8, 5, b"89");
        check(11, 5, b"");
        check(u64::MAX, usize::MAX, b"");
        assert_eq!(read(&path).unwrap(), b"0123456789");
    }

    #[test]
    fn texts_are_bounded_and_utf_8() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, [0xff]).unwrap();
        assert_eq!(read_text(&path).unwrap_err().kind(), ErrorKind::InvalidData);
        // A file with a hole takes no space.
        File::create(&path).unwrap().set_len(MAX_TEXT_BYTES + 1).unwrap();
        assert_eq!(read_text(&path).unwrap_err().kind(), ErrorKind::FileTooLarge);
        File::create(&path).unwrap().set_len(MAX_BYTES + 1).unwrap();
        assert_eq!(read(&path).unwrap_err().kind(), ErrorKind::FileTooLarge);
        assert_eq!(open_whole(&path).unwrap_err().kind(), ErrorKind::FileTooLarge);
        assert_eq!(read_part(&path, 0, usize::MAX).unwrap_err().kind(), ErrorKind::FileTooLarge);
        assert_eq!(read_part(&path, MAX_BYTES, usize::MAX).unwrap(), [0]);
    }

    #[cfg(unix)]
    #[test]
    fn only_regular_files_are_opened() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("/dev/zero", &link).unwrap();
        let fifo = folder.path().join("fifo");
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        for (path, what) in [(link.as_path(), "a device"), (&fifo, "a FIFO"), (folder.path(), "a folder")] {
            for error in [read(path).unwrap_err(), read_text(path).unwrap_err(), read_part(path, 0, 1).unwrap_err()] {
                assert!(error.to_string().contains(what), "{error}");
            }
        }
    }
}
