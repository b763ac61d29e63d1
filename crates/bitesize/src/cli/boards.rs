//! `bitesize boards`.

use crate::console::out_line;
use bitesize::Ending;
use bitesize_ir::size::format_size;
use bitesize_verify::boards;
use clap::Args;

/// Lists what is known.
#[derive(Args)]
pub(crate) struct BoardsArgs {
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl BoardsArgs {
    pub(crate) fn run(self) -> anyhow::Result<Ending> {
        let boards = boards::all();
        if self.json {
            let row = |b: &bitesize_ir::target::Target| {
                serde_json::json!({
                    "name": b.name, "description": b.description, "datasheet": b.datasheet, "core": b.core,
                    "clock_mhz": b.clock_mhz, "flash_bytes": b.flash_bytes(), "ram_bytes": b.ram_bytes(),
                })
            };
            out_line!("{}", serde_json::to_string_pretty(&boards.iter().map(row).collect::<Vec<_>>())?);
            return Ok(Ending::Done);
        }
        out_line!("{:<12} {:<13} {:>7} {:>24} {:>24}  what it is", "board", "core", "clock", "FLASH", "RAM");
        for b in &boards {
            let (flash, ram) = (format_size(b.flash_bytes()), format_size(b.ram_bytes()));
            let clock = b.clock_mhz.map_or("-".to_owned(), |mhz| format!("{mhz} MHz"));
            out_line!("{:<12} {:<13} {clock:>7} {flash:>24} {ram:>24}  {}", b.name, b.core, b.description);
        }
        out_line!(
            "\nFLASH and RAM: the largest region of each, less what is reserved. A file of your own: --board FILE"
        );
        out_line!("\n{:<13} compiler of its kernel costs", "core");
        for core in boards::cores() {
            out_line!("{:<13} {}", core.name, core.compiler);
        }
        Ok(Ending::Done)
    }
}
