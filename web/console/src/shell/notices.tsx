// What is wrong with the connection, in words, above every page: why it is closed or waits, and what was missed.

import { Button } from "../parts/controls.tsx";
import { sentence, time } from "../parts/format.ts";
import { useCell, useDesk, useNow } from "../parts/hooks.ts";
import { Notice } from "../parts/panels.tsx";

export function Notices() {
	return (
		<div className="notices" role="status">
			<ConnectionNotice />
			<GapNotice />
		</div>
	);
}

function ConnectionNotice() {
	const { live, signOut } = useDesk();
	const { state, error, retryAt } = useCell(live.status);
	const now = useNow(250, state === "waiting");
	if (error === null || state === "open") return null;
	const expired = error.code === "token" || error.status === 401;
	const left = Math.max(0, Math.ceil(((retryAt ?? now) - now) / 1000));
	const again = expired ? (
		<Button small look="primary" onClick={() => signOut("Your token was no longer taken. Sign in again.")}>
			Sign in again
		</Button>
	) : (
		<Button small icon="again" onClick={() => live.reconnect()}>
			Try now
		</Button>
	);
	return (
		<div data-notice="connection">
			<Notice tone={state === "closed" ? "bad" : "warn"} actions={again}>
				<b>
					{expired
						? "Your token has expired or is no longer taken"
						: reasonOf(error.status, error.problem?.limit)}
				</b>
				<p>
					{expired
						? "Nothing more comes until you sign in again; the lists begin anew then."
						: sentence(error.problem?.detail ?? plain(error.message))}
					{state === "waiting" && <span aria-hidden="true">{` · again in ${left} s`}</span>}
				</p>
			</Notice>
		</div>
	);
}

function reasonOf(status: number, limit: string | null | undefined): string {
	if (status === 429) return `Too many streams are open (limit: ${limit ?? "unknown"})`;
	if (status === 503) return "The service is not ready for streams just now";
	if (status === 403) return "This stream is not for you";
	if (status > 0) return `The service answered ${status}`;
	return "The connection is lost; what is missed will be given after it is back";
}

function plain(message: string): string {
	return message === "network error" || message === "Failed to fetch"
		? "No answer from the service"
		: message;
}

function GapNotice() {
	const { live } = useDesk();
	const gap = useCell(live.gap);
	if (gap === undefined) return null;
	return (
		<div data-notice="gap">
			<Notice tone="warn" onClose={() => live.gap.set(undefined)}>
				<b>Some events are missing here, {time(gap.at)}</b>
				<p>
					{gap.reason === "expired"
						? "The stream was away for longer than the service keeps events. "
						: "The service does not know where this stream stood: its store is another now. "}
					{gap.resumed_from ? (
						<>
							It goes on from <code>{gap.resumed_from}</code>.
						</>
					) : (
						"It goes on with what happens now."
					)}
				</p>
			</Notice>
		</div>
	);
}
