// Numbers and times as people read them, in their own locale.

const clock = new Intl.DateTimeFormat(undefined, {
	hour: "2-digit",
	minute: "2-digit",
	second: "2-digit",
	hour12: false,
});
const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const tenth = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });

export const count = (value: number): string => whole.format(value);
export const rate = (value: number): string => (value < 10 ? tenth : whole).format(value);

/** `14:03:59` of milliseconds since the epoch, or of a timestamp. */
export function time(at: number | string | undefined): string {
	const date = new Date(at ?? Number.NaN);
	return Number.isNaN(date.getTime()) ? "" : clock.format(date);
}

export function bytes(value: number): string {
	return value < 1e6 ? `${tenth.format(value / 1e3)} kB` : `${tenth.format(value / 1e6)} MB`;
}

/** `3 d 4 h`, `2 h 5 min`, `41 s` of seconds. */
export function duration(seconds: number): string {
	const s = Math.max(0, Math.floor(seconds));
	if (s < 60) return `${s} s`;
	if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
	if (s < 86_400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
	return `${Math.floor(s / 86_400)} d ${Math.floor((s % 86_400) / 3600)} h`;
}

/** `just now`, `5 min ago`. */
export function ago(at: string | undefined, now: number): string {
	const seconds = (now - new Date(at ?? Number.NaN).getTime()) / 1000;
	if (Number.isNaN(seconds)) return "never";
	return seconds < 10 ? "just now" : `${duration(seconds).split(" ").slice(0, 2).join(" ")} ago`;
}

export function shown(value: unknown): string {
	return typeof value === "string" ? value : JSON.stringify(value);
}

/** A problem's detail as a sentence: the service begins them with a small letter. */
export function sentence(text: string): string {
	return text.slice(0, 1).toUpperCase() + text.slice(1);
}

/** What *value* has under *name* as text, whatever it is: a publisher may send any JSON on any topic. */
export function text(value: unknown, name: string): string {
	const found =
		typeof value === "object" && value !== null ? (value as Record<string, unknown>)[name] : undefined;
	return found === undefined ? "" : shown(found);
}

export function pretty(text: string): string {
	try {
		return JSON.stringify(JSON.parse(text), null, 2);
	} catch {
		return text;
	}
}
