//! Infotext and PNG texts: what is written comes back, what others write is read as they mean it, and no file that
//! a stranger made can do harm.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // how tests and their helpers fail

use std::io::{Cursor, Write};
use std::time::{Duration, Instant};

use encaustic_picture::infotext::Infotext;
use encaustic_picture::png::{self, Pixels};
use encaustic_picture::png_text::{self, PngError, PngText, TEXT_LIMIT};

fn info(prompt: &str, negative: &str, settings: &[(&str, &str)]) -> Infotext {
    let settings = settings.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
    Infotext { prompt: prompt.to_owned(), negative: negative.to_owned(), settings }
}

/// The least settings that a reader takes for settings.
const THREE: [(&str, &str); 3] = [("Steps", "20"), ("Seed", "1"), ("Size", "64x72")];

#[test]
fn what_is_written_is_read_again() {
    let values = [
        "plain",
        "two words",
        "a, b",
        "key: value",
        "line\nbreak",
        "\"quoted\"",
        "say \"hi\", twice",
        "back\\slash, too",
        "trailing \\",
        " outer blanks ",
        "\"",
        "tab\tand, \u{1}",
        "grün, 絵 🎨",
        "{\"json\": [1, 2]}",
        "a.safetensors",
        "",
    ];
    let prompts = [
        ("a red circle", ""),
        ("a \"quoted\" thing, (weighted:1.3), [x|y], <lora:n:0.5>", "blurry, (bad:1.2)"),
        ("one\ntwo\n\nfour", "five\nsix"),
        ("émigré naïve", "ü"),
        ("絵を描く 🎨 \u{200d} e\u{301}", "ゴースト"),
        ("Steps: 20, and two more", ""),
        ("", "only a negative"),
        ("", ""),
        ("back\\slash \\( \\)", "\\"),
    ];
    for (prompt, negative) in prompts {
        for value in values {
            let mut settings = THREE.to_vec();
            settings.insert(1, ("Model", value));
            let written = info(prompt, negative, &settings);
            assert_eq!(Infotext::parse(&written.to_string()), written, "{written}");
        }
    }
}

#[test]
fn the_text_is_as_others_write_it() {
    let written = info("a cat,\nsitting", "dog", &[("Steps", "20"), ("Sampler", "DPM++ 2M"), ("Lora hashes", "a: b, c: d")]);
    let text = "a cat,\nsitting\nNegative prompt: dog\nSteps: 20, Sampler: DPM++ 2M, Lora hashes: \"a: b, c: d\"";
    assert_eq!(written.to_string(), text);
}

#[test]
fn the_texts_of_others_are_read_as_they_mean_them() {
    let real = "masterpiece, (cat:1.2)\nsecond line\nNegative prompt: lowres, bad\nmore bad\n\
        Steps: 28, Sampler: DPM++ 2M Karras, CFG scale: 7.5, Seed: 4294967295, Size: 512x768, Model hash: 6ce0161689, \
        Model: v1-5-pruned-emaonly, Clip skip: 2, ENSD: 31337, Hires upscale: 2, \
        Lora hashes: \"one: 0123456789ab, two: ba9876543210\", Version: v1.6.0";
    let pairs = [
        ("Steps", "28"),
        ("Sampler", "DPM++ 2M Karras"),
        ("CFG scale", "7.5"),
        ("Seed", "4294967295"),
        ("Size", "512x768"),
        ("Model hash", "6ce0161689"),
        ("Model", "v1-5-pruned-emaonly"),
        ("Clip skip", "2"),
        ("ENSD", "31337"),
        ("Hires upscale", "2"),
        ("Lora hashes", "one: 0123456789ab, two: ba9876543210"),
        ("Version", "v1.6.0"),
    ];
    let cases = [
        (real.to_owned(), info("masterpiece, (cat:1.2)\nsecond line", "lowres, bad\nmore bad", &pairs)),
        // Fewer than three pairs are prompt.
        ("a cat\nSteps: 3, Seed: 4".to_owned(), info("a cat\nSteps: 3, Seed: 4", "", &[])),
        // Settings alone.
        ("Steps: 20, Seed: 1, Size: 64x72".to_owned(), info("", "", &THREE)),
        // Outer blanks and Windows' line ends.
        (" a cat \r\nNegative prompt: dog\r\nSteps: 20, Seed: 1, Size: 64x72\r\n".to_owned(), info("a cat", "dog", &THREE)),
        // A name that comes twice.
        ("x\nSteps: 9, Seed: 1, Size: 64x72, Steps: 20".to_owned(), info("x", "", &THREE)),
        // A broken quotation is taken as it stands, up to the comma.
        ("x\nSteps: 20, Seed: 1, Model: \"a, b".to_owned(), info("x", "", &[("Steps", "20"), ("Seed", "1"), ("Model", "\"a")])),
        // Marks before a name are passed over.
        ("x\n!Steps: 20, ~Seed: 1, #Size: 64x72".to_owned(), info("x", "", &THREE)),
        // Names of one letter are none.
        ("x\na: 1, b: 2, c: 3".to_owned(), info("x\na: 1, b: 2, c: 3", "", &[])),
        (String::new(), info("", "", &[])),
        ("\n\n \n".to_owned(), info("", "", &[])),
    ];
    for (text, meant) in cases {
        assert_eq!(Infotext::parse(&text), meant, "{text}");
    }
}

#[test]
fn long_texts_take_linear_time() {
    let length = 8 << 20;
    for piece in ["a", "a b-", "ab:", "ab: \"", "ab: \"\\", ",", "\n", "Negative prompt:", "ab: x, ", "\"", "é/ "] {
        let text = piece.repeat(length / piece.len());
        check_time(piece, &text);
    }
    let names: String = (0..1 << 19).map(|number| format!("n{number}: 1,")).collect();
    check_time("many names", &names);
}

fn check_time(case: &str, text: &str) {
    let start = Instant::now();
    let parsed = Infotext::parse(text);
    let took = start.elapsed();
    assert!(parsed.prompt.len() <= text.len());
    // A quadratic reader takes hours.
    assert!(took < Duration::from_secs(10), "{case:?} took {took:?}");
}

fn encode(parameters: &str) -> Vec<u8> {
    let rgb: Vec<u8> = (0..5 * 3 * 3).collect();
    let mut file = Vec::new();
    png::write(Pixels { width: 5, height: 3, rgb: &rgb }, parameters, &mut file).unwrap();
    file
}

fn read(file: &[u8]) -> PngText {
    png_text::read(Cursor::new(file)).unwrap()
}

#[test]
fn pictures_carry_their_text_whole() {
    for (text, chunk) in [
        ("plain", "tEXt"),
        ("line\nbreak", "tEXt"),
        ("émigré Ã©", "tEXt"),
        ("絵", "iTXt"),
        ("🎨 and é", "iTXt"),
        ("", "tEXt"),
        ("x".repeat(1 << 20).as_str(), "tEXt"),
    ] {
        let file = encode(text);
        let png = read(&file);
        assert_eq!(png.get("parameters"), Some(text));
        assert_eq!((png.width, png.height), (5, 3));
        assert!(png.damage.is_none(), "{:?}", png.damage);
        assert!(file.windows(4).any(|window| window == chunk.as_bytes()), "{chunk} for {text:.20}");
        assert_eq!(file, encode(text), "the same picture gives the same bytes");
        // Another decoder agrees, and finds the pixels.
        let mut reader = ::png::Decoder::new(Cursor::new(&file)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut pixels).unwrap();
        assert_eq!(pixels, (0..45).collect::<Vec<u8>>());
    }
    let rgb = [0; 3];
    for (picture, text) in [(Pixels { width: 1, height: 1, rgb: &rgb }, "a\0b"), (Pixels { width: 2, height: 1, rgb: &rgb }, "")]
    {
        assert!(png::write(picture, text, &mut Vec::new()).is_err());
    }
}

fn chunk(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut crc = flate2::Crc::new();
    crc.update(name);
    crc.update(body);
    [&u32::try_from(body.len()).unwrap().to_be_bytes()[..], name, body, &crc.sum().to_be_bytes()].concat()
}

fn file(chunks: &[Vec<u8>]) -> Vec<u8> {
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    file.extend(chunk(b"IHDR", &[0, 0, 0x4e, 0x20, 0, 0, 0x4e, 0x20, 8, 2, 0, 0, 0]));
    file.extend(chunks.concat());
    file
}

fn zlib(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn end() -> Vec<u8> {
    chunk(b"IEND", &[])
}

#[test]
fn every_kind_of_text_chunk_is_read() {
    let packed = zlib("héllo".as_bytes());
    let latin = zlib(b"h\xe9llo");
    let cases: [(&str, Vec<u8>); 6] = [
        ("h\u{e9}llo", chunk(b"tEXt", b"parameters\0h\xe9llo")),
        ("h\u{e9}llo", chunk(b"zTXt", &[&b"parameters\0\0"[..], &latin].concat())),
        ("h\u{e9}llo", chunk(b"iTXt", "parameters\0\0\0\0\0héllo".as_bytes())),
        ("h\u{e9}llo", chunk(b"iTXt", "parameters\0\0\0de\0Einstellungen\0héllo".as_bytes())),
        ("h\u{e9}llo", chunk(b"iTXt", &[&b"parameters\0\x01\0\0\0"[..], &packed].concat())),
        ("", chunk(b"tEXt", b"parameters\0")),
    ];
    for (text, body) in cases {
        // Before and behind the pixels, which are not looked at.
        for chunks in [[body.clone(), chunk(b"IDAT", b"no pixels"), end()], [chunk(b"IDAT", b"no pixels"), body, end()]] {
            let png = read(&file(&chunks));
            assert_eq!(png.get("parameters"), Some(text));
            assert!(png.damage.is_none());
            assert_eq!((png.width, png.height), (20000, 20000));
        }
    }
}

/// Reads a hostile file and checks that it was quick.
fn damage(bytes: &[u8]) -> PngError {
    let start = Instant::now();
    let png = png_text::read(Cursor::new(bytes));
    let took = start.elapsed();
    assert!(took < Duration::from_secs(10), "took {took:?}");
    match png {
        Ok(png) => png.damage.expect("damage is told"),
        Err(error) => error,
    }
}

#[test]
fn hostile_files_are_refused_with_their_fault() {
    let good = file(&[chunk(b"tEXt", b"parameters\0x"), end()]);
    let bomb = zlib(&vec![b'a'; TEXT_LIMIT + 1]);
    let half_bomb = zlib(&vec![b'a'; TEXT_LIMIT / 2 + 1]);
    let ztxt = |packed: &[u8]| chunk(b"zTXt", &[b"a\0\0", packed].concat());
    let mut wrong_sum = good.clone();
    let last = wrong_sum.len() - end().len() - 1;
    wrong_sum[last] ^= 1;
    let mut huge = good.clone();
    huge[33..37].copy_from_slice(&[0xff; 4]);
    let mut past = good.clone();
    past[33..37].copy_from_slice(&[0x7f, 0xff, 0xff, 0xff]);
    let mut no_header = good.clone();
    no_header[12] = b'X';
    let mut odd_header = good.clone();
    odd_header[11] = 14;
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty", vec![], "it is empty"),
        ("signature alone", good[..8].to_vec(), "IHDR"),
        ("cut header", good[..20].to_vec(), "IHDR"),
        ("no header", no_header, "IHDR"),
        ("header of another size", odd_header, "IHDR"),
        ("JPEG", b"\xff\xd8\xff\xe0\0\x10JFIF".to_vec(), "JPEG"),
        ("WebP", b"RIFF\0\0\0\0WEBP".to_vec(), "WebP"),
        ("SVG", b"<svg xmlns=''/>".to_vec(), "SVG"),
        ("text mode", b"\x89PNG\n\x1a\n\0".to_vec(), "line ends"),
        ("noise", vec![7; 100], "no picture"),
        ("no end", good[..good.len() - 12].to_vec(), "cut off"),
        ("cut in a chunk", good[..good.len() - 15].to_vec(), "cut off at byte 33, in tEXt"),
        ("length beyond PNG", huge, "claims 4294967295 bytes"),
        ("length beyond the file", past, "cut off at byte 33, in tEXt"),
        ("wrong check sum", wrong_sum, "check sum"),
        ("no keyword's end", file(&[chunk(b"tEXt", b"parameters")]), "keyword has no end"),
        ("no keyword", file(&[chunk(b"tEXt", b"\0text")]), "1 to 79"),
        ("long keyword", file(&[chunk(b"tEXt", &[&[b'k'; 80][..], b"\0x"].concat())]), "1 to 79"),
        ("zTXt without a method", file(&[chunk(b"zTXt", b"a\0")]), "compression method"),
        ("zTXt by another method", file(&[chunk(b"zTXt", b"a\0\x01x")]), "compression method"),
        ("zTXt of noise", file(&[ztxt(b"noise")]), "corrupt"),
        ("zTXt cut", file(&[ztxt(&bomb[..bomb.len() / 2])]), "corrupt"),
        ("zTXt bomb", file(&[ztxt(&bomb), end()]), "more than 32 MiB"),
        ("two halves of a bomb", file(&[ztxt(&half_bomb), ztxt(&half_bomb), end()]), "more than 32 MiB"),
        ("iTXt bomb", file(&[chunk(b"iTXt", &[&b"a\0\x01\0\0\0"[..], &bomb].concat()), end()]), "more than 32 MiB"),
        ("plain flood", file(&[chunk(b"tEXt", &[&b"a\0"[..], &vec![b'x'; TEXT_LIMIT]].concat()), end()]), "more than 32 MiB"),
        ("iTXt without flags", file(&[chunk(b"iTXt", b"a\0")]), "ends after the keyword"),
        ("iTXt without a language", file(&[chunk(b"iTXt", b"a\0\0\0de")]), "language"),
        ("iTXt without a translation", file(&[chunk(b"iTXt", b"a\0\0\0de\0x")]), "translated"),
        ("iTXt by another method", file(&[chunk(b"iTXt", b"a\0\x01\x05\0\0x")]), "compression method"),
        ("iTXt with another flag", file(&[chunk(b"iTXt", b"a\0\x02\0\0\0x")]), "compression method"),
        ("iTXt in Latin-1", file(&[chunk(b"iTXt", b"a\0\0\0\0\0h\xe9")]), "not UTF-8"),
        ("a million chunks", file(&[chunk(b"teXt", b"").repeat(1 << 20)]), "chunks"),
    ];
    for (name, bytes, fault) in cases {
        let message = damage(&bytes).to_string();
        assert!(message.contains(fault), "{name}: {message}");
        assert!(!message.contains('\u{1b}') && message.len() < 300, "{name}: {message}");
    }
}

#[test]
fn a_cut_file_keeps_what_came_before() {
    let text = chunk(b"tEXt", b"parameters\0x");
    let whole = file(&[text.clone(), chunk(b"IDAT", &[0; 100]), end()]);
    let end_of_text = 33 + text.len();
    for cut in 0..whole.len() {
        match png_text::read(Cursor::new(&whole[..cut])) {
            Ok(png) => {
                assert!(png.damage.is_some(), "cut at {cut}");
                assert_eq!(png.get("parameters").is_some(), cut >= end_of_text, "cut at {cut}");
            }
            Err(_) => assert!(cut < 33, "cut at {cut}"),
        }
    }
}

#[test]
fn no_change_of_bytes_is_fatal() {
    let itxt = chunk(b"iTXt", &[&b"workflow\0\x01\0\0\0"[..], &zlib(b"{}")].concat());
    let whole = file(&[chunk(b"tEXt", b"parameters\0Steps: 20, Seed: 1, Size: 64x72"), itxt, chunk(b"IDAT", &[0; 9]), end()]);
    // A small generator (xorshift), so that a failure can be repeated.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    for _ in 0..20_000 {
        let mut bytes = whole.clone();
        for _ in 0..=random(4) {
            let at = random(bytes.len());
            match random(3) {
                0 => bytes[at] = u8::try_from(random(256)).unwrap(),
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, u8::try_from(random(256)).unwrap()),
            }
        }
        if let Ok(png) = png_text::read(Cursor::new(&bytes)) {
            for (_, text) in &png.entries {
                Infotext::parse(text);
            }
        }
    }
}
