//! Tables as Markdown, a line as soon as it is known.

pub fn header(names: &[&str]) {
    row(names);
    let rest = " ---: |".repeat(names.len() - 1);
    println!("| --- |{rest}");
}

pub fn row(cells: &[&str]) {
    println!("| {} |", cells.join(" | "));
}
