use super::*;

/// What an answer comes to that arrives in pieces of so many bytes: its status, its body unless it is cut off, and whether
/// its connection would be kept.
fn read(answer: &[u8], piece: usize) -> Result<(u16, Option<Vec<u8>>, bool), TransportError> {
    let (mut buffer, mut pieces) = (BytesMut::new(), answer.chunks(piece));
    let head = loop {
        match parse(&mut buffer)? {
            Some(head) if !head.status.is_informational() => break head,
            Some(_) => {}
            None => buffer.extend_from_slice(pieces.next().expect("a whole head")),
        }
    };
    let (mut framing, keep) = framing(&head)?;
    let mut body = Vec::new();
    loop {
        while let Some(piece) = framing.next(&mut buffer)? {
            body.extend_from_slice(&piece);
        }
        if framing.is_over() {
            return Ok((head.status.as_u16(), Some(body), keep && buffer.is_empty() && pieces.next().is_none()));
        }
        let Some(piece) = pieces.next() else {
            return Ok((head.status.as_u16(), framing.ends_with_connection().then_some(body), false));
        };
        buffer.extend_from_slice(piece);
    }
}

/// What it comes to, however it arrives.
fn read_anyhow(answer: &str) -> (u16, Option<String>, bool) {
    let results = [1, 2, 3, 7, answer.len()].map(|piece| read(answer.as_bytes(), piece).expect("an answer"));
    assert!(results.iter().all(|result| result.0 == results[0].0 && result.1 == results[0].1), "{results:?}");
    // What comes too much may come too late to be seen.
    let [.., (status, body, keep)] = results;
    (status, body.map(|body| String::from_utf8(body).expect("text")), keep)
}

#[test]
fn a_body_ends_as_its_head_says() {
    for (answer, body, keep) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi", Some("hi"), true),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nhi", Some("hi"), true),
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", Some(""), true),
        ("HTTP/1.1 204 No Content\r\n\r\n", Some(""), true),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n1\r\nh\r\n1;x=y\r\ni\r\n0\r\n\r\n", Some("hi"), true),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nA\r\n0123456789\r\n0\r\na: b\r\nc: d\r\n\r\n",
            Some("0123456789"),
            true,
        ),
        ("HTTP/1.1 200 OK\r\n\r\nup to the end", Some("up to the end"), false),
        ("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nhi", Some("hi"), false),
        ("HTTP/1.1 200 OK\r\nconnection: te, Close\r\ncontent-length: 2\r\n\r\nhi", Some("hi"), false),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 1\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
            Some("hi"),
            false,
        ),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi, and more", Some("hi"), false),
        ("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nhi", None, false),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n", None, false),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n", None, false),
    ] {
        let (_, read, kept) = read_anyhow(answer);
        assert_eq!((read.as_deref(), kept), (body, keep), "{answer:?}");
    }
}

#[test]
fn what_is_said_before_the_answer_is_passed_over() {
    let early = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n";
    let answer = format!("{early}HTTP/1.1 503 Busy\r\ncontent-length: 2\r\n\r\nno");
    assert_eq!(read_anyhow(&answer), (503, Some("no".into()), true));
}

#[test]
fn what_is_no_http_is_refused() {
    let head = "HTTP/1.1 200 OK\r\n";
    let chunked = format!("{head}transfer-encoding: chunked\r\n\r\n");
    for answer in [
        "SSH-2.0-OpenSSH_9.2\r\n".to_owned(),
        "HTTP/2 200\r\n\r\n".to_owned(),
        format!("{head}content-length: 2\r\ncontent-length: 3\r\n\r\nhi"),
        format!("{head}content-length: +2\r\n\r\nhi"),
        format!("{head}content-length: 2, 2\r\n\r\nhi"),
        format!("{head}content-length: 99999999999999999999\r\n\r\nhi"),
        format!("{head}transfer-encoding: gzip, chunked\r\n\r\n"),
        format!("{head}transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n"),
        format!("{chunked}x\r\n"),
        format!("{chunked}-1\r\n"),
        format!("{chunked}11111111111111111\r\n"),
        format!("{chunked}2\r\nhi!\r\n"),
        format!("{chunked}0\r\n{}", "a: b\r\n".repeat(MAX_HEAD / 6 + 1)),
        format!("{head}{}\r\n", "a: b\r\n".repeat(MAX_HEADERS + 1)),
    ] {
        for piece in [1, 1000, answer.len()] {
            assert!(read(answer.as_bytes(), piece).is_err(), "{:?}", &answer[..answer.len().min(200)]);
        }
    }
}
