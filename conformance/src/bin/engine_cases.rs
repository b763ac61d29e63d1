//! Runs the engine against the golden interpreter, for machines that are emulated: only this program is built for them.
//!
//!     engine_cases [COUNT [SEED]]
//!
//! Every case, `COUNT` random layers and a fifth as many random networks, from `SEED` on; 500 from 1 where nothing is said.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let count = arguments.next().map_or(Ok(500), |text| text.parse())?;
    let seed = arguments.next().map_or(Ok(1), |text| text.parse())?;
    let sets = conformance::engine::compare_cases();
    conformance::engine::compare_layers(count, seed);
    conformance::engine::compare_networks(count / 5, seed);
    for set in sets {
        println!(
            "{set}: every output of every case, of {count} layers and {} networks equals the interpreter's",
            count / 5
        );
    }
    Ok(())
}
