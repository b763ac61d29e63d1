//! The road from a network and data to verified C, one stage a module, each a type that the next one needs:
//!
//! ```text
//! Opened -> Calibrated -> Prepared -> Chosen -> Tuned -> Delivered -> Emitted -> Proven
//! ```
//!
//! A stage's module says what it needs, which files of the run folder it owns and what these depend on. It takes them
//! from the folder where they were made from the same, and makes them where they are not there. [`tuned`] hands on what
//! was chosen where nothing is to be learned.
//!
//! Beside the stages, in reading order: [`finetuned`] (training, of the stage [`tuned`]), [`aim`] (whether there is anything to deliver), [`misfit`] (why not),
//! [`candidate`] (a quantized network with its integers), [`quantizer`], [`held_out`] and [`judge`] (how good policies
//! are), [`equalized`] (channels brought to one size), [`finalists`], [`contest`] and [`trials`] (search, and the best after the final quantization or some training), [`diary`], [`sweep`] (other
//! budgets), [`measured`] and [`validated`], [`quality`] (tensor by tensor), [`guessing`] and [`coarse`] (warnings), [`anew`] (another search in the
//! same folder), [`emission`] (a package of edited widths or another name).

pub mod aim;
pub mod anew;
pub mod calibrated;
pub mod candidate;
pub mod chosen;
pub mod coarse;
pub mod contest;
pub mod delivered;
pub mod diary;
pub mod emission;
pub mod emitted;
pub mod equalized;
pub mod finalists;
pub mod finetuned;
pub mod guessing;
pub mod held_out;
mod held_shares;
pub mod judge;
mod learned_by;
pub mod measured;
pub mod misfit;
pub mod opened;
pub mod prepared;
pub mod proven;
pub mod quality;
pub mod quantizer;
pub mod sweep;
pub mod trials;
pub mod tuned;
pub mod validated;

pub use aim::Aim;
pub use calibrated::Calibrated;
pub use candidate::Candidate;
pub use chosen::Chosen;
pub use delivered::Delivered;
pub use emitted::Emitted;
pub use misfit::Misfit;
pub use opened::Opened;
pub use prepared::Prepared;
pub use proven::Proven;
pub use tuned::Tuned;
