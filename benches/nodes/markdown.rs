//! Tables as Markdown, printed line by line as results arrive.

pub fn header(names: &[&str]) {
    row(names);
    let rest = " ---: |".repeat(names.len() - 1);
    println!("| --- |{rest}");
}

pub fn row(cells: &[&str]) {
    println!("| {} |", cells.join(" | "));
}
