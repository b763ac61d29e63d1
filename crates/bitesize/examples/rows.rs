use bitesize_ir::memory::*; use bitesize_ir::target::*; use bitesize_ir::*;
fn main(){
  let core = CoreCosts::from_toml(include_str!("../../../targets/cores/cortex-m4.toml")).unwrap();
  let mut args: Vec<String> = std::env::args().skip(1).collect();
  let show = args.iter().any(|a| a=="-p"); args.retain(|a| a!="-p");
  for path in args {
    let model = bitesize::input::Model::load(std::path::Path::new(&path), &bitesize::observe::Monitor::unobserved()).unwrap();
    let mut network = model.network.clone();
    let _ = &mut network;
    let space = PolicySpace::of(&network);
    let policy = Policy::uniform(&space, BitWidth::B8, BitWidth::B8);
    let widths = Widths::of(&network, &space, &policy);
    print!("{path}: ");
    for (s,i) in [(Scheduling::Layers,InputRows::Image),(Scheduling::InPlace,InputRows::Image),(Scheduling::Auto,InputRows::Image),(Scheduling::Auto,InputRows::Pushed)] {
      let t=std::time::Instant::now();
      let core = core.with_schedule(s,i);
      let m = MemoryModel::of(&network,&core);
      let el=t.elapsed(); let t=std::time::Instant::now();
      let r = m.ram(&widths);
      print!("{} {}: {} (bound {}, {:?}, {el:?}, {:?}); ", s, i.name(), r.total, r.plan.lower_bound, r.plan.scheduling, t.elapsed());
      if show { for t in 0..m.timelines() { let l=m.alive_bytes(t,&widths); println!("timeline {t} {:?}", m.schedule_of(t).segments.iter().filter(|s|s.is_rolling).map(|s|s.nodes.clone()).collect::<Vec<_>>()); println!("timeline {t} {:?}: most {:?}; {:?}", m.scheduling_of(t), l.iter().max(), l); } println!("\n{}", m.picture(&r.plan,&widths)); }
    }
    println!();
  }
}
