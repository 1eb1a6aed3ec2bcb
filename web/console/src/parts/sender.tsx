// A form that sends one request: what it is as curl, what came of it, and when it may be sent again after a 429.

import { type FormEvent, type ReactNode, useState } from "react";
import { type Call, curlOf } from "../api/curl.ts";
import { type Answer, base, type Problem, send } from "../api/request.ts";
import { mayPublish } from "../session/identity.ts";
import { Button, CopyButton } from "./controls.tsx";
import { count, sentence } from "./format.ts";
import { useDesk, useNow } from "./hooks.ts";
import { Badge, Card, Code, Notice } from "./panels.tsx";

export interface Sent {
	readonly answer: Answer;
	readonly ms: number;
	/** Milliseconds since the epoch before which it makes no sense to send again. */
	readonly notBefore: number;
}

export interface Sending {
	readonly busy: boolean;
	readonly sent: Sent | undefined;
	readonly send: (call: Call) => Promise<Answer>;
}

export function useSending(): Sending {
	const { session } = useDesk();
	const [busy, setBusy] = useState(false);
	const [sent, setSent] = useState<Sent>();
	const sending = async (call: Call) => {
		setBusy(true);
		const started = performance.now();
		const answer = await send(call, session.token);
		const wait = answer.ok ? undefined : answer.problem.retryAfter;
		setSent({
			answer,
			ms: Math.round(performance.now() - started),
			notBefore: wait === undefined ? 0 : Date.now() + wait * 1000,
		});
		setBusy(false);
		return answer;
	};
	return { busy, sent, send: sending };
}

interface SenderProps {
	readonly title?: string;
	readonly call: Call;
	readonly children?: ReactNode;
	readonly button?: string;
	/** Whether the service takes it from admins and services alone. */
	readonly publishers?: boolean;
	/** What to say when it worked; by default the id. */
	readonly says?: (body: unknown) => ReactNode;
	readonly onSent?: () => void;
	readonly extra?: ReactNode;
}

export function Sender({ title = "Send test", call, children, button = "Send test", ...more }: SenderProps) {
	const { session } = useDesk();
	const sending = useSending();
	const now = useNow(250, (sending.sent?.notBefore ?? 0) > Date.now());
	const wait = Math.ceil(((sending.sent?.notBefore ?? 0) - now) / 1000);
	const submit = async (event: FormEvent) => {
		event.preventDefault();
		if ((await sending.send(call)).ok) more.onSent?.();
	};
	const refused = more.publishers && !mayPublish(session.who);
	return (
		<Card title={title} className="sender">
			<form onSubmit={(event) => void submit(event)}>
				{refused && (
					<Notice tone="warn">
						Only <b>admin</b> and <b>service</b> may send this. You are {rolesOf(session.who.roles)}, so the
						service will refuse it with 403.
					</Notice>
				)}
				{children}
				<div className="actions">
					<Button type="submit" look="primary" icon="send" disabled={sending.busy || wait > 0}>
						{wait > 0 ? `Again in ${wait} s` : button}
					</Button>
					{more.extra}
				</div>
				<Outcome sent={sending.sent} says={more.says} wait={wait} />
			</form>
			<Curl call={call} />
		</Card>
	);
}

function rolesOf(roles: readonly string[]): string {
	return roles.length ? roles.join(", ") : "without a role";
}

interface OutcomeProps {
	readonly sent: Sent | undefined;
	readonly says?: ((body: unknown) => ReactNode) | undefined;
	readonly wait?: number;
}

/** What came of the last request, told to screen readers too. */
export function Outcome({ sent, says, wait = 0 }: OutcomeProps) {
	return (
		<div className="outcome" role="status">
			{sent?.answer.ok && (
				<p className="worked">
					<Badge tone="ok">{sent.answer.status}</Badge>
					<span>{says ? says(sent.answer.body) : idOf(sent.answer.body)}</span>
					<small>{count(sent.ms)} ms</small>
				</p>
			)}
			{sent && !sent.answer.ok && (
				<Refusal status={sent.answer.status} problem={sent.answer.problem} wait={wait} />
			)}
		</div>
	);
}

function idOf(body: unknown): ReactNode {
	const id = typeof body === "object" && body !== null && "id" in body ? String(body.id) : undefined;
	return id === undefined ? (
		"Done"
	) : (
		<>
			Kept as <code>{id}</code>
		</>
	);
}

interface RefusalProps {
	readonly status: number;
	readonly problem: Problem;
	readonly wait: number;
}

function Refusal({ status, problem, wait }: RefusalProps) {
	return (
		<Notice tone={status === 429 ? "warn" : "bad"}>
			<b>
				{status > 0 && `${status} `}
				{problem.title}
			</b>
			{problem.detail && problem.detail !== problem.title && <p>{sentence(problem.detail)}</p>}
			{status === 429 && (
				<p>
					{problem.limit && `The limit is “${problem.limit}”. `}
					{wait > 0 ? `It may be sent again in ${wait} s.` : "It may be sent again now."}
				</p>
			)}
			{problem.requestId && <small>request {problem.requestId}</small>}
		</Notice>
	);
}

/** *call* as a line for a shell, behind a disclosure. */
export function Curl({ call }: { readonly call: Call }) {
	const line = curlOf(call, base);
	return (
		<details className="curl">
			<summary>as curl</summary>
			<Code>{line}</Code>
			<CopyButton text={line} />
		</details>
	);
}
