use freestone_trace::{format,steps::Steps};
fn main(){
  for path in std::env::args().skip(1) {
    let f=std::fs::read(&path).unwrap();
    match format::read(&f) { Err(e)=>{eprintln!("{path}: {e}"); std::process::exit(2)}, Ok(t)=>{
      let s=Steps::of(&t); let mut out=Vec::new(); format::write(&s.to_trace(), &mut out).unwrap();
      println!("{path} {} calls {} steps {} threads {} objects {} foreign {} missed {} raw {:.2} B/call packed {} {:.2} B/call", t.header.name, t.calls.len(), s.steps.len(), s.threads, s.objects, s.foreign, s.missed, f.len() as f64/t.calls.len() as f64, out.len(), out.len() as f64/t.calls.len() as f64);
      let t2=format::read(&out).unwrap(); let s2=Steps::of(&t2); assert_eq!(s.steps.len(), s2.steps.len()); 
      for (a,b) in s.steps.iter().zip(&s2.steps) { assert_eq!(a,b); }
    }}
  }
}
