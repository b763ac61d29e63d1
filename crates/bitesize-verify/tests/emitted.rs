mod common;
#[test]
fn dump() {
    let e = common::Example::new(bitesize_ir::BitWidth::B8, bitesize_ir::BitWidth::B8, 1);
    println!("{}", e.integer);
}
