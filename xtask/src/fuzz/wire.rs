//! Changes of protobuf messages that leave the lengths around them right.

use super::mutate::Mutator;

/// A field: its key, and what it holds.
struct Field {
    key: u64,
    value: Value,
}

enum Value {
    Number(u64),
    Bytes(Vec<u8>),
}

fn read_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn write_number(mut number: u64, bytes: &mut Vec<u8>) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn fields(mut bytes: &[u8]) -> Option<Vec<Field>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = read_number(&mut bytes)?;
        let length = match key & 7 {
            0 => {
                let value = Value::Number(read_number(&mut bytes)?);
                fields.push(Field { key, value });
                continue;
            }
            1 => 8,
            2 => usize::try_from(read_number(&mut bytes)?).ok()?,
            5 => 4,
            _ => return None,
        };
        let (value, rest) = bytes.split_at_checked(length)?;
        bytes = rest;
        fields.push(Field { key, value: Value::Bytes(value.to_vec()) });
    }
    Some(fields)
}

fn write(fields: &[Field]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for field in fields {
        write_number(field.key, &mut bytes);
        match &field.value {
            Value::Number(number) => write_number(*number, &mut bytes),
            Value::Bytes(value) => {
                if field.key & 7 == 2 {
                    write_number(value.len() as u64, &mut bytes);
                }
                bytes.extend(value);
            }
        }
    }
    bytes
}

/// Changes one field of `message`, or of a message within it.
pub(super) fn change(mutator: &mut Mutator, message: &mut Vec<u8>, others: &[Vec<u8>]) {
    let Some(mut all) = fields(message).filter(|all| !all.is_empty()) else {
        mutator.bytes(message, others);
        return;
    };
    let at = mutator.below(all.len());
    let is_counted = all[at].key & 7 == 2;
    match mutator.below(8) {
        0 => drop(all.remove(at)),
        1 => {
            let to = mutator.below(all.len());
            all.swap(at, to);
        }
        2 => {
            let copies = 1 + mutator.below(3);
            let Field { key, value } = &all[at];
            let copy = || match value {
                Value::Number(number) => Value::Number(*number),
                Value::Bytes(bytes) => Value::Bytes(bytes.clone()),
            };
            let copies: Vec<Field> = (0..copies).map(|_| Field { key: *key, value: copy() }).collect();
            all.splice(at..at, copies);
        }
        3 => all[at].key = all[at].key & 7 | (1 + mutator.below(21) as u64) << 3,
        _ => match &mut all[at].value {
            Value::Number(number) => *number = mutator.number().cast_unsigned(),
            Value::Bytes(bytes) if is_counted => change(mutator, bytes, others),
            Value::Bytes(bytes) => {
                let length = bytes.len();
                mutator.bytes(bytes, &[]);
                bytes.resize(length, 0);
            }
        },
    }
    *message = write(&all);
}
