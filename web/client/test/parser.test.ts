// The bytes of a stream, read as the WHATWG standard says, however they are cut.
import { expect, test } from "vitest";
import { createParser, MAX_EVENT_CHARS, type RawEvent } from "../src/parser.ts";

interface Read {
	events: RawEvent[];
	retries: number[];
	comments: string[];
	positions: string[];
}

function read(chunks: Iterable<Uint8Array>, lastEventId?: string): Read {
	const got: Read = { events: [], retries: [], comments: [], positions: [] };
	const parser = createParser(
		{
			onEvent: (event) => got.events.push(event),
			onRetry: (ms) => got.retries.push(ms),
			onComment: (text) => got.comments.push(text),
			onPosition: (id) => got.positions.push(id),
		},
		lastEventId,
	);
	for (const chunk of chunks) parser.push(chunk);
	return got;
}

const bytes = (text: string) => new TextEncoder().encode(text);
const readText = (text: string, lastEventId?: string) => read([bytes(text)], lastEventId);
const datas = (got: Read) => got.events.map(({ data }) => data);

test("a frame is an event with its fields", () => {
	expect(readText("id: a-1\nevent: greeting\ndata: hello\n\n").events).toEqual([
		{ event: "greeting", data: "hello", id: "a-1", lastEventId: "a-1" },
	]);
});

test("an event without a name is a message", () => {
	expect(readText("data: x\n\nevent:\ndata: y\n\n").events.map(({ event }) => event)).toEqual([
		"message",
		"message",
	]);
});

test("a name is of its own frame alone", () => {
	expect(readText("event: a\n\ndata: x\n\n").events.map(({ event }) => event)).toEqual(["message"]);
});

test("lines of data are joined by LF", () => {
	expect(datas(readText("data: YHOO\ndata: +2\ndata: 10\n\n"))).toEqual(["YHOO\n+2\n10"]);
});

test("one space behind the colon is left out, and no more", () => {
	expect(datas(readText("data:test\n\ndata: test\n\ndata:  test\n\ndata: \n\n"))).toEqual([
		"test",
		"test",
		" test",
		"",
	]);
});

test("a field without a colon has empty data", () => {
	expect(datas(readText("data\n\ndata\ndata\n\ndata:"))).toEqual(["", "\n"]);
});

test("a frame without data is no event, yet its id counts", () => {
	const got = readText("id: 7\nevent: x\n\ndata: y\n\n");
	expect(got.events).toEqual([{ event: "message", data: "y", id: "", lastEventId: "7" }]);
	expect(got.positions).toEqual(["7"]);
});

test("an empty id clears the last one", () => {
	const got = readText("id: 1\ndata: a\n\nid\ndata: b\n\n");
	expect(got.events.map(({ lastEventId }) => lastEventId)).toEqual(["1", ""]);
	expect(got.positions).toEqual(["1", ""]);
});

test("an id with NUL is ignored", () => {
	const got = readText("id: 1\ndata: a\n\nid: 2\0\ndata: b\n\n");
	expect(got.events.map(({ id, lastEventId }) => [id, lastEventId])).toEqual([
		["1", "1"],
		["", "1"],
	]);
});

test("a resumed stream carries its id on", () => {
	const got = readText("data: a\n\n", "k-9");
	expect(got.events[0]?.lastEventId).toBe("k-9");
	expect(got.positions).toEqual([]);
});

test("retry takes digits alone", () => {
	expect(
		readText("retry: 3000\nretry: -1\nretry: 1.5\nretry: 1e3\nretry: soon\nretry:\nretry: 10 \n").retries,
	).toEqual([3000]);
});

test("comments are no events and end nothing", () => {
	const got = readText(": hb\n\ndata: a\n:\ndata: b\n\n");
	expect(got.comments).toEqual([" hb", ""]);
	expect(datas(got)).toEqual(["a\nb"]);
});

test("unknown fields are ignored", () => {
	expect(datas(readText("dada: x\nData: y\n data: z\ndata: a\n\n"))).toEqual(["a"]);
});

test("a last frame that is not finished is dropped, with its id", () => {
	const got = readText("id: 1\ndata: a\n\nid: 2\ndata: b\n");
	expect(datas(got)).toEqual(["a"]);
	expect(got.positions).toEqual(["1"]);
});

test("LF, CR and CRLF all end a line", () => {
	for (const end of ["\n", "\r", "\r\n"]) {
		expect(
			datas(readText(`data: a${end}data: b${end}${end}data: c${end}${end}`)),
			JSON.stringify(end),
		).toEqual(["a\nb", "c"]);
	}
	expect(datas(readText("data: a\r\ndata: b\n\rdata: c\r\n\n"))).toEqual(["a\nb", "c"]);
});

test("an event that ends in CR does not wait for what follows", () => {
	expect(datas(readText("data: a\r\r"))).toEqual(["a"]);
});

test("a CRLF cut in two is one end", () => {
	expect(datas(read([bytes("data: a\r"), bytes(""), bytes("\ndata: b\r\n\r"), bytes("\n")]))).toEqual([
		"a\nb",
	]);
});

test("one byte order mark at the beginning is left out", () => {
	expect(datas(readText("\uFEFFdata: a\n\n"))).toEqual(["a"]);
	expect(datas(read([Uint8Array.of(0xef), Uint8Array.of(0xbb, 0xbf), bytes("data: a\n\n")]))).toEqual(["a"]);
	expect(datas(readText("\uFEFF\uFEFFdata: a\n\n"))).toEqual([]);
	expect(datas(readText("data: a\n\n\uFEFFdata: b\n\n"))).toEqual(["a"]);
});

test("bytes that are no UTF-8 become replacement characters", () => {
	expect(datas(read([bytes("data: "), Uint8Array.of(0xff), bytes("\n\n")]))).toEqual(["\uFFFD"]);
});

const HARD = [
	"\uFEFF: hb\r\nretry: 250\rid: ä-1\r\nevent: grüße\ndata: €\u2028 \r",
	"data: \u{1F600}\n\r\nid: 2\r\r\ndata: x\ndata\n\n\nid: \0\ndata: y\r\n\r\nretry: 1x\n: \u{1F4A9}\nunfinished: \r",
].join("");

test("a stream reads the same however it is cut in two", () => {
	const all = bytes(HARD);
	const whole = read([all]);
	expect(whole.events).toHaveLength(3);
	for (let at = 0; at <= all.length; at++) {
		expect(read([all.subarray(0, at), all.subarray(at)]), `cut at ${at}`).toEqual(whole);
	}
});

test("a stream reads the same byte for byte and in pieces of any size", () => {
	const all = bytes(HARD);
	const whole = read([all]);
	for (let size = 1; size < all.length; size++) {
		const pieces = [];
		for (let at = 0; at < all.length; at += size) pieces.push(all.subarray(at, at + size));
		expect(read(pieces), `pieces of ${size}`).toEqual(whole);
	}
});

test("a stream reads the same in random pieces", () => {
	const alphabet = [
		"\n",
		"\r",
		"\r\n",
		"data: ",
		"data",
		"id: ",
		"event: ",
		":",
		" ",
		"\0",
		"\uFEFF",
		"ü",
		"\u{1F600}",
		"retry: 5",
		"a",
	];
	let seed = 20_260_118; // the same pieces each time
	const random = (below: number) => {
		seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
		return Math.floor((seed / 2 ** 31) * below);
	};
	for (let round = 0; round < 500; round++) {
		const all = bytes(Array.from({ length: 40 }, () => alphabet[random(alphabet.length)]).join(""));
		const pieces = [];
		for (let at = 0; at < all.length; ) {
			const to = at + 1 + random(6);
			pieces.push(all.subarray(at, to));
			at = to;
		}
		expect(read(pieces), new TextDecoder().decode(all)).toEqual(read([all]));
	}
});

test("an event without end is refused, in one line or in many", () => {
	const long = "x".repeat(65_536);
	const tooMany = MAX_EVENT_CHARS / long.length + 1;
	expect(() => read([bytes("data: "), ...Array.from({ length: tooMany }, () => bytes(long))])).toThrow(
		RangeError,
	);
	expect(() => read(Array.from({ length: tooMany }, () => bytes(`data: ${long}\n`)))).toThrow(RangeError);
	expect(datas(read(Array.from({ length: 3 }, () => bytes(`data: ${long}\n\n`))))).toHaveLength(3);
});
