//! Invented names in the scripts of real libraries. A name is an adjective and a noun of one language in that
//! language's order, so it is nobody's name. Odd-looking text (combining marks, right-to-left text, quotes, joined
//! emoji) is there because readers stumble over it.

use fastrand::Rng;

/// How a language joins an adjective and a noun.
#[derive(Clone, Copy, PartialEq, Eq)]
enum WordOrder {
    /// Adjective first, with an article and a plural in band names.
    English,
    AdjectiveFirst,
    NounFirst,
    /// Adjective first, and no space between words.
    Joined,
}

/// Enough of a language to make names in it.
struct Tongue {
    /// How often it is chosen, out of [`WEIGHT_TOTAL`].
    weight: usize,
    order: WordOrder,
    adjectives: &'static [&'static str],
    nouns: &'static [&'static str],
}

#[rustfmt::skip]
const TONGUES: [Tongue; 19] = [
    Tongue { weight: 40, order: WordOrder::English,
        adjectives: &["Paper", "Velvet", "Quiet", "Northern", "Hollow", "Golden", "Electric", "Slow", "Distant", "Borrowed", "Silver", "Restless", "Painted", "Wooden", "Lunar", "Crooked", "Second", "Almost", "Tidal", "Amber"],
        nouns: &["Harbour", "Lantern", "Orchard", "Satellite", "Meadow", "Compass", "Staircase", "Thunder", "Feather", "Carousel", "Lighthouse", "Window", "Parade", "Teacup", "Glacier", "Umbrella", "Telegraph", "Sparrow", "Almanac", "Ferry"] },
    Tongue { weight: 6, order: WordOrder::AdjectiveFirst,
        adjectives: &["Blauer", "Stiller", "Später", "Grüner", "Müder", "Süßer", "Heißer", "Schöner", "Kühler", "Langer"],
        nouns: &["Himmel", "Morgen", "Wald", "Schlüssel", "Vogel", "Regen", "Kompass", "Frühling", "Käfer", "Löwenzahn"] },
    Tongue { weight: 5, order: WordOrder::NounFirst,
        adjectives: &["bleu", "étoilé", "lointain", "léger", "doré", "oublié", "sauvage", "rêvé"],
        nouns: &["Jardin", "Été", "Rivage", "Théâtre", "Nuage", "Hôtel", "Château", "Cœur", "Manège"] },
    Tongue { weight: 6, order: WordOrder::NounFirst,
        adjectives: &["lejana", "pequeña", "dormida", "eterna", "extraña", "tranquila", "perdida", "única"],
        nouns: &["Canción", "Montaña", "Señal", "Niebla", "Mañana", "Luna", "Araña", "Ciudad"] },
    Tongue { weight: 4, order: WordOrder::NounFirst,
        adjectives: &["Distante", "Sonâmbulo", "Tímido", "Veloz", "Alegre", "Invisível"],
        nouns: &["Coração", "Verão", "Avião", "Pássaro", "Quintal", "Balão", "Relâmpago"] },
    Tongue { weight: 3, order: WordOrder::AdjectiveFirst,
        adjectives: &["Cicha", "Złota", "Błękitna", "Śpiąca", "Żółta", "Odległa"],
        nouns: &["Łąka", "Gwiazda", "Rzeka", "Ćma", "Wieża", "Źrenica", "Pięciolinia"] },
    Tongue { weight: 3, order: WordOrder::AdjectiveFirst,
        adjectives: &["Stilla", "Blå", "Gömda", "Snöiga", "Ödsliga", "Långa"],
        nouns: &["Ängar", "Fjäll", "Öar", "Stjärnor", "Älvar", "Båtar"] },
    Tongue { weight: 3, order: WordOrder::AdjectiveFirst,
        adjectives: &["Küçük", "Sessiz", "Mavi", "Yağmurlu", "Güneşli", "Işıltılı"],
        nouns: &["Şehir", "Gökyüzü", "Bahçe", "Rüzgâr", "Yıldız", "Köprü", "İskele"] },
    Tongue { weight: 2, order: WordOrder::NounFirst,
        adjectives: &["Dịu Dàng", "Xa Xôi", "Mùa Hạ", "Lặng Lẽ", "Cuối Cùng"],
        nouns: &["Cơn Mưa", "Ánh Trăng", "Dòng Sông", "Giấc Mơ", "Khu Vườn"] },
    Tongue { weight: 5, order: WordOrder::AdjectiveFirst,
        adjectives: &["Тихий", "Северный", "Бумажный", "Далёкий", "Ночной", "Синий", "Забытый", "Стеклянный"],
        nouns: &["Берег", "Фонарь", "Ветер", "Поезд", "Мотылёк", "Горизонт", "Снегопад", "Оркестр"] },
    Tongue { weight: 2, order: WordOrder::AdjectiveFirst,
        adjectives: &["Лісовий", "Осінній", "Срібний", "Літній", "Ґречний"],
        nouns: &["Їжак", "Світанок", "Промінь", "Ліхтар", "Метелик"] },
    Tongue { weight: 3, order: WordOrder::AdjectiveFirst,
        adjectives: &["Μικρό", "Χάρτινο", "Ήσυχο", "Παλιό", "Χρυσό", "Γαλάζιο"],
        nouns: &["Καράβι", "Φεγγάρι", "Λιμάνι", "Όνειρο", "Παράθυρο", "Καλοκαίρι"] },
    Tongue { weight: 5, order: WordOrder::Joined,
        adjectives: &["青い", "静かな", "遠い", "夜明けの", "硝子の", "真夏の", "忘れられた", "小さな", "ネオンの"],
        nouns: &["灯台", "海岸", "天文台", "雨傘", "回転木馬", "星座", "図書館", "金魚", "パレード"] },
    Tongue { weight: 3, order: WordOrder::AdjectiveFirst,
        adjectives: &["푸른", "조용한", "머나먼", "새벽의", "은빛", "잃어버린"],
        nouns: &["바다", "등대", "정원", "별자리", "우산", "기차역"] },
    Tongue { weight: 2, order: WordOrder::Joined,
        adjectives: &["安静的", "遥远的", "蓝色的", "午夜的", "發光的"],
        nouns: &["灯塔", "河流", "图书馆", "月光", "島嶼"] },
    Tongue { weight: 3, order: WordOrder::NounFirst,
        adjectives: &["الهادئ", "البعيد", "الأزرق", "القديم", "الجميل"],
        nouns: &["البحر", "القمر", "المساء", "الطريق", "المطر", "النسيم"] },
    Tongue { weight: 2, order: WordOrder::NounFirst,
        adjectives: &["השקט", "הכחול", "הרחוק", "הישן", "הנעלם"],
        nouns: &["הים", "הירח", "הגשר", "החלון", "המגדלור"] },
    Tongue { weight: 2, order: WordOrder::AdjectiveFirst,
        adjectives: &["नीला", "पुराना", "सुनहरा", "अनजाना", "छोटा"],
        nouns: &["आसमान", "सपना", "रास्ता", "सितारा", "बादल", "मौसम"] },
    Tongue { weight: 1, order: WordOrder::NounFirst,
        adjectives: &["สีคราม", "แสนไกล", "เงียบงัน"],
        nouns: &["ทะเล", "ดวงดาว", "สายฝน", "หิ่งห้อย"] },
];

/// Sum of all weights.
const WEIGHT_TOTAL: usize = {
    let mut total = 0;
    let mut i = 0;
    while i < TONGUES.len() {
        total += TONGUES[i].weight;
        i += 1;
    }
    total
};

const GENRES: &[&str] = &[
    "ambient",
    "art pop",
    "bossa nova",
    "chamber folk",
    "city pop",
    "cumbia",
    "dream pop",
    "drum and bass",
    "dub techno",
    "entekhno",
    "fado",
    "french house",
    "hip-hop",
    "indie rock",
    "j-rock",
    "jazz fusion",
    "k-indie",
    "kosmische",
    "lo-fi",
    "mizrahi",
    "neo-soul",
    "neoclassical",
    "post-punk",
    "r&b",
    "rai",
    "russian post-punk",
    "schlager",
    "shoegaze",
    "synthwave",
    "türkçe psych",
];

const LABELS: &[&str] =
    &["Paper Harbour Records", "Kleine Flut", "Segno Tapes", "Éditions du Nuage", "灯台レコード", "Long Ferry Music"];
const TITLE_ENDINGS: &[&str] = &[
    " - Live",
    " - Remastered 2011",
    " (Acoustic)",
    " - Radio Edit",
    " \"Demo\"",
    " <3",
    " / Reprise",
    ", Pt. 2",
    " ✨",
    " 🌊",
    " 👩🏽‍🚀",
    "?!",
    " \\o/",
    " & Co.",
];
const ALBUM_ENDINGS: &[&str] =
    &[" (Deluxe Edition)", " EP", " - Single", ", Vol. 2", " (Original Motion Picture Score)", " II"];
const MOODS: &[&str] = &[
    "🏃 Running",
    "Late night",
    "Focus",
    "Küche",
    "Sunday",
    "ドライブ",
    "Для дороги",
    "Party 🎉",
    "Sleep",
    "שבת",
    "Rain",
    "צהריים",
    "2019",
    "Été",
];

/// Draws names. All randomness comes from the generator passed in.
pub struct Namer<'r>(pub &'r mut Rng);

impl Namer<'_> {
    fn pick<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.0.usize(..words.len())]
    }

    fn tongue(&mut self) -> &'static Tongue {
        let mut left = self.0.usize(..WEIGHT_TOTAL);
        for tongue in &TONGUES {
            if left < tongue.weight {
                return tongue;
            }
            left -= tongue.weight;
        }
        &TONGUES[0]
    }

    fn phrase(&mut self, tongue: &Tongue) -> String {
        let (adjective, noun) = (self.pick(tongue.adjectives), self.pick(tongue.nouns));
        match tongue.order {
            WordOrder::English | WordOrder::AdjectiveFirst => format!("{adjective} {noun}"),
            WordOrder::NounFirst => format!("{noun} {adjective}"),
            WordOrder::Joined => format!("{adjective}{noun}"),
        }
    }

    /// Name of an artist.
    pub fn artist(&mut self) -> String {
        let tongue = self.tongue();
        let phrase = self.phrase(tongue);
        match self.0.u8(..12) {
            0 | 1 if tongue.order == WordOrder::English => format!("The {phrase}s"),
            2 => format!("DJ {}", self.pick(tongue.nouns)),
            3 => format!("{} & {}", self.pick(tongue.nouns), self.pick(tongue.nouns)),
            4 => format!("{phrase} Ensemble"),
            5 => phrase.to_lowercase(),
            6 => phrase.to_uppercase(),
            _ => phrase,
        }
    }

    /// Title of a track; `guest` is the first featured artist, who is sometimes named in it.
    pub fn title(&mut self, guest: Option<&str>) -> String {
        let tongue = self.tongue();
        let mut title = match self.0.u8(..6) {
            0 => self.pick(tongue.nouns).to_owned(),
            1 => format!("{}, {}", self.phrase(tongue), self.pick(tongue.nouns)),
            _ => self.phrase(tongue),
        };
        if let Some(guest) = guest
            && self.0.bool()
        {
            title = format!("{title} (feat. {guest})");
        }
        if self.0.u8(..7) == 0 {
            title.push_str(self.pick(TITLE_ENDINGS));
        }
        title
    }

    /// Title of an album.
    pub fn album(&mut self) -> String {
        let tongue = self.tongue();
        let mut title = self.phrase(tongue);
        if self.0.u8(..6) == 0 {
            title.push_str(self.pick(ALBUM_ENDINGS));
        }
        title
    }

    /// Title of a compilation.
    pub fn compilation(&mut self) -> String {
        let tongue = self.tongue();
        format!("{}: {} Songs", self.phrase(tongue), self.0.u8(12..40))
    }

    /// Name of a playlist.
    pub fn playlist(&mut self) -> String {
        let tongue = self.tongue();
        match self.0.u8(..3) {
            0 => self.pick(MOODS).to_owned(),
            1 => format!("{} · {}", self.pick(MOODS), self.phrase(tongue)),
            _ => self.phrase(tongue),
        }
    }

    /// Description of a playlist, HTML-escaped as in the Web API.
    pub fn description(&mut self) -> String {
        let tongue = self.tongue();
        match self.0.u8(..3) {
            0 => String::new(),
            1 => format!("Songs for &quot;{}&quot; &amp; after", self.phrase(tongue)),
            _ => self.phrase(tongue),
        }
    }

    /// Display name of another listener.
    pub fn listener(&mut self) -> String {
        let tongue = self.tongue();
        format!("{} {}", self.pick(tongue.nouns), self.0.u8(1..100))
    }

    /// Up to three genres.
    pub fn genres(&mut self) -> Vec<&'static str> {
        let mut genres: Vec<&str> = (0..self.0.usize(..4)).map(|_| self.pick(GENRES)).collect();
        genres.sort_unstable();
        genres.dedup();
        genres
    }

    /// A record label.
    pub fn label(&mut self) -> &'static str {
        self.pick(LABELS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_names_show_many_scripts_and_few_repeats() {
        let mut rng = Rng::with_seed(7);
        let mut names = Namer(&mut rng);
        let titles: Vec<String> = (0..1000).map(|_| names.title(None)).collect();
        for range in ['а'..='я', 'α'..='ω', '\u{3040}'..='\u{30ff}', '가'..='힣', 'א'..='ת', 'ا'..='ي', 'अ'..='ह']
        {
            assert!(titles.iter().any(|title| title.chars().any(|c| range.contains(&c))), "nothing in {range:?}");
        }
        let distinct: std::collections::HashSet<_> = titles.iter().collect();
        assert!(distinct.len() > 700, "only {} of 1000 titles are distinct", distinct.len());
        assert!(titles.iter().all(|title| !title.is_empty()));
    }

    #[test]
    fn one_seed_gives_one_sequence() {
        let draw = |seed| {
            let mut rng = Rng::with_seed(seed);
            let mut names = Namer(&mut rng);
            (names.artist(), names.album(), names.playlist())
        };
        assert_eq!(draw(3), draw(3));
        assert_ne!(draw(3), draw(4));
    }
}
