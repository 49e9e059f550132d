"""Every file either reads as stated or gets one line with the file, the place and the remedy."""

import gzip
import io
import os
import re
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnkit.data import Document, default_documents, read_documents
from rnnkit.errors import ArgumentError, DataError

FAMILY = "👨‍👩‍👧‍👦"


@pytest.fixture
def small_pieces(monkeypatch):
    """Three bytes at a time: every place becomes a border between pieces."""
    monkeypatch.setattr("rnnkit.data.readers.PIECE_SIZE", 3)


def written(folder, data, name="text.txt"):
    path = folder / name
    path.write_bytes(data)
    return str(path)


def read(path, **options):
    (document,) = read_documents([path], **options)
    return document.text


GOOD = {
    "a single character": (b"x", "x"),
    "NUL": (b"a\0b", "a\0b"),
    "CR LF becomes LF": (b"a\r\nb\r\n", "a\nb\n"),
    "a CR alone stays": (b"a\rb\r\r\nc\r", "a\rb\r\nc\r"),
    "a byte order mark goes": (b"\xef\xbb\xbfab", "ab"),
    "a byte order mark inside stays": (b"a\xef\xbb\xbfb", "a\ufeffb"),
    "emoji with joiners": (FAMILY.encode(), FAMILY),
    "combining marks": ("e\u0301\u0323".encode(), "e\u0301\u0323"),
    "right to left": ("שלום عالم\n".encode(), "שלום عالم\n"),
    "no newline at the end": (b"a\nb", "a\nb"),
}


@pytest.mark.parametrize("case", GOOD)
def test_text_is_read_as_stated(tmp_path, small_pieces, case):
    data, wanted = GOOD[case]
    assert read(written(tmp_path, data)) == wanted
    assert read(written(tmp_path, gzip.compress(data), "text.txt.gz")) == wanted


def test_what_was_changed_is_noted(tmp_path):
    (document,) = read_documents([written(tmp_path, b"\xef\xbb\xbfa\r\nb\r\n")])
    for _ in range(2):
        assert document.text == "a\nb\n"
        assert document.notes == ["byte order mark removed", "2 line ends CR LF read as LF"]


def test_ten_megabytes_on_one_line_are_read(tmp_path):
    data = "0123456789" * 1_000_000
    assert read(written(tmp_path, data.encode())) == data


@given(
    s=st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
    encoding=st.sampled_from(["utf-8", "utf-16", "gb18030"]),
)
def test_any_text_is_read_but_for_line_ends_and_the_mark(tmp_path_factory, s, encoding):
    path = written(tmp_path_factory.mktemp("any"), s.encode(encoding))
    data = Path(path).read_bytes()
    if encoding == "utf-8" and data[:2] in (b"\x1f\x8b", b"\xff\xfe"):
        return
    assert read(path, encoding=encoding) == s.removeprefix("\ufeff").replace("\r\n", "\n")


@given(data=st.binary(min_size=1))
def test_any_bytes_are_read_as_they_are(tmp_path_factory, data):
    assert read(written(tmp_path_factory.mktemp("any"), data), as_bytes=True) == data


@pytest.mark.parametrize("offset", [0, 1, 2, 3, 4, 10])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_byte_that_is_no_utf8_is_named_with_offset_line_and_remedy(tmp_path, small_pieces, offset, suffix):
    data = b"\na\nb\nccccc"[:offset] + b"\xe9 rest\n"
    path = written(tmp_path, gzip.compress(data) if suffix else data, f"text.txt{suffix}")
    line = data[:offset].count(b"\n") + 1
    message = rf"{re.escape(path)}: byte 0xe9 at offset {offset}, line {line}, .*--encoding latin-1 .*--bytes"
    with pytest.raises(DataError, match=message):
        read(path)
    assert read(path, encoding="latin-1") == data.decode("latin-1")


def test_a_character_cut_off_by_the_end_is_named_with_its_offset(tmp_path, small_pieces):
    with pytest.raises(DataError, match=r"byte 0xf0 at offset 4, line 2, .*unexpected end of data"):
        read(written(tmp_path, b"ab\nc\xf0\x9f"))


def test_a_lone_surrogate_in_a_file_is_no_utf8(tmp_path):
    with pytest.raises(DataError, match="byte 0xed at offset 1"):
        read(written(tmp_path, b"a\xed\xa0\x80"))


def test_bytes_that_are_not_in_the_named_encoding_are_named(tmp_path):
    with pytest.raises(DataError, match=r"byte 0x.. at offset 2, line 1, is not valid utf-16.*--encoding utf-8"):
        read(written(tmp_path, b"a\0\x00\xdc"), encoding="utf-16")
    with pytest.raises(DataError, match="is not valid ascii"):
        read(written(tmp_path, "é".encode()), encoding="ascii")


def test_utf16_and_gzip_are_recognised(tmp_path):
    with pytest.raises(DataError, match="UTF-16 byte order mark; pass --encoding utf-16"):
        read(written(tmp_path, "text".encode("utf-16")))
    with pytest.raises(DataError, match=r"this is gzip data; name the file with \.gz"):
        read(written(tmp_path, gzip.compress(b"text")))


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: data[:40] + bytes([data[40] ^ 255]) + data[41:],
        lambda data: data[:-8] + b"\0" * 8,
        lambda data: b"not gzip at all",
    ],
    ids=["cut off", "flipped", "checksum", "no gzip"],
)
def test_damaged_gzip_data_is_named(tmp_path, damage):
    path = written(tmp_path, damage(gzip.compress(os.urandom(3000).hex().encode())), "text.gz")
    with pytest.raises(DataError, match=rf"{re.escape(path)}: damaged gzip data after [\d,]+ decompressed bytes"):
        read(path)


def test_an_encoding_that_does_not_exist_is_refused_with_the_nearest(tmp_path):
    path = written(tmp_path, b"x")
    with pytest.raises(ArgumentError, match=r"'uft-8'; did you mean 'utf_8'"):
        read_documents([path], encoding="uft-8")
    for name in ("hex", "no such thing at all"):
        with pytest.raises(ArgumentError, match="there is no text encoding"):
            read_documents([path], encoding=name)


def test_a_missing_file_is_named_with_the_nearest_name(tmp_path):
    written(tmp_path, b"x", "shakespeare.txt")
    with pytest.raises(DataError, match=r"shakespear\.txt: no such file or folder; did you mean .*shakespeare\.txt\?"):
        read_documents([tmp_path / "shakespear.txt"])
    with pytest.raises(DataError, match=r"no such file or folder; look at what is in"):
        read_documents([tmp_path / "zzz" / "a.txt"])
    with pytest.raises(DataError, match="no such file"):
        read_documents([tmp_path / "shakespeare.txt" / "a.txt"])


def test_a_name_with_a_nul_is_refused():
    with pytest.raises(DataError, match="check the name"):
        read_documents(["a\0b"])


def test_a_device_is_refused():
    with pytest.raises(DataError, match="a device or a socket"):
        read_documents(["/dev/zero"])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_named(tmp_path):
    path = written(tmp_path, b"x")
    Path(path).chmod(0)
    with pytest.raises(DataError, match="cannot be opened: Permission denied; check its permissions"):
        read_documents([path])


def test_empty_files_are_refused_alone_and_left_out_among_others(tmp_path):
    empty, mark = written(tmp_path, b"", "empty.txt"), written(tmp_path, gzip.compress(b""), "empty.gz")
    full = written(tmp_path, b"x", "full.txt")
    for path in (empty, mark):
        with pytest.raises(DataError, match="the file is empty; give a file with text"):
            read_documents([path])
    assert [document.name for document in read_documents([empty, full])] == [full]
    with pytest.raises(DataError, match="no source was named"):
        read_documents([])


def test_a_folder_gives_its_text_files_sorted_by_path(tmp_path):
    for name in ("b.txt", "a/z.txt", "a/c.txt.gz", "a.txt", "notes.md", ".hidden.txt", ".git/x.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        written(tmp_path, gzip.compress(b"x") if name.endswith(".gz") else b"x", name)
    names = [os.path.relpath(document.name, tmp_path) for document in read_documents([tmp_path])]
    assert names == ["a/c.txt.gz", "a/z.txt", "a.txt", "b.txt"]


def test_a_folder_without_text_files_is_refused_with_the_rule(tmp_path):
    written(tmp_path, b"x", "a.csv")
    with pytest.raises(DataError, match=r"ends in \.txt or \.txt\.gz \(1 others do not count\); name the files"):
        read_documents([tmp_path])


def test_stdin_is_read_once_and_can_be_read_again(monkeypatch):
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO("wörds\n".encode())))
    (document,) = read_documents(["-"])
    assert (document.name, document.text, document.text) == ("<stdin>", "wörds\n", "wörds\n")


def test_a_named_pipe_can_be_read_again(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(b"from a pipe",))
    writer.start()
    (document,) = read_documents([pipe])
    writer.join()
    assert [document.text, document.text] == ["from a pipe"] * 2


def test_one_path_is_as_good_as_a_list_of_one(tmp_path):
    path = written(tmp_path, b"x")
    assert [document.name for document in read_documents(path)] == [path]


def test_the_default_text_is_the_language_reference_inside_python():
    (document,) = default_documents()
    assert document.text.startswith('The "assert" statement\n')
    assert document.length() > 400_000
    assert read_documents(None)[0].text == document.text
    assert read_documents(None, as_bytes=True)[0].text == document.text.encode()


def test_a_document_gives_its_parts():
    document = Document("d", "héllo\nworld")
    assert document.length() == 11
    part = document.part(4, 8)
    assert (part.name, part.text, part.length(), part.first_line()) == ("d", "o\nwo", 4, 1)
    assert (part.part(2, 4).text, part.part(2, 4).first_line()) == ("wo", 2)
    assert Document("b", b"ab\nc").part(1, 4).text == b"b\nc"
    assert Document("e", "").text == ""
