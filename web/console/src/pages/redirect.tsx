// The channel function `redirectClient`, from both ends: a client's stream that shows where it is sent instead of going
// there, and the call that sends it.

import { useState } from "react";
import type { StreamStatus } from "sse-push-client";
import { faultOf, useSignature } from "../api/signature.ts";
import { Feed } from "../live/feed.ts";
import { useHandStream } from "../live/hand-stream.ts";
import { Button, Field } from "../parts/controls.tsx";
import { sentence, shown, text, time } from "../parts/format.ts";
import { useDesk, useFeed } from "../parts/hooks.ts";
import { Icon } from "../parts/icon.tsx";
import { List } from "../parts/list.tsx";
import { Badge, Empty, Notice, Page, type Tone } from "../parts/panels.tsx";
import { Curl, Sender } from "../parts/sender.tsx";

interface ClientEvent {
	readonly seq: number;
	readonly at: number;
	readonly data: unknown;
}

const KEPT = 200;

export function RedirectPage() {
	const { session } = useDesk();
	const [clientId, setClientId] = useState(session.who.id);
	const [events] = useState(() => new Feed<ClientEvent>(KEPT));
	const items = useFeed(events);
	const { status, open, close } = useHandStream();
	const on = status !== undefined;
	const path = `/sse/connect?clientId=${encodeURIComponent(clientId)}`;
	const connect = () =>
		open(path, { onEvent: ({ data }) => events.push((seq) => ({ seq, at: Date.now(), data })) });
	return (
		<Page
			title="Redirect"
			about="A channel app sends a client elsewhere. Here it is shown where; nothing is followed."
		>
			<div className="columns">
				<div className="stack">
					<div className="client">
						<Field
							label="Client id"
							value={clientId}
							onValue={setClientId}
							disabled={on}
							hint={<ClientState status={status} />}
						/>
						{on ? (
							<Button onClick={close}>Disconnect</Button>
						) : (
							<Button look="primary" disabled={!clientId} onClick={connect}>
								Connect
							</Button>
						)}
					</div>
					{status?.error && (
						<Notice tone="bad">
							<b>This client's stream is not open</b>
							<p>{sentence(status.error.problem?.detail ?? status.error.message)}</p>
						</Notice>
					)}
					<List
						label="What the client was told"
						newest="top"
						usual={72}
						items={items}
						keyOf={(item) => item.seq}
						draw={(item) => <Told item={item} />}
						empty={
							on ? (
								<Empty icon="redirect" title="Connected, and told nothing yet">
									Call the function, and where this client would be sent shows here.
								</Empty>
							) : (
								<Empty icon="redirect" title="No client is connected">
									Connect one first: a function for a client that is not connected is answered with an error.
								</Empty>
							)
						}
					/>
					<Curl call={{ method: "GET", path, streams: true }} />
				</div>
				<CallFunction clientId={clientId} />
			</div>
		</Page>
	);
}

function ClientState({ status }: { readonly status: StreamStatus | undefined }) {
	if (status === undefined) return "Not connected";
	const [tone, text] = (
		{
			open: ["ok", "Connected"],
			closed: ["bad", "Refused"],
			connecting: ["warn", "Connecting"],
			waiting: ["warn", "Waiting"],
		} as const
	)[status.state] as readonly [Tone, string];
	return <Badge tone={tone}>{text}</Badge>;
}

function Told({ item }: { readonly item: ClientEvent }) {
	const type = text(item.data, "type") || "message";
	const url = text(item.data, "url");
	return (
		<article className="told">
			<Badge tone={type === "redirect" ? "info" : "idle"}>{type}</Badge>
			<div>
				{url ? (
					<>
						<h3>Would go to</h3>
						<p className="url">
							<Icon name="link" size={15} />
							<Place url={url} />
						</p>
					</>
				) : (
					<p className="data">
						{text(item.data, "message") || text(item.data, "action") || shown(item.data)}
					</p>
				)}
			</div>
			<time>{time(item.at)}</time>
		</article>
	);
}

/** A link where it leads to another page, and to nothing that runs. */
function Place({ url }: { readonly url: string }) {
	if (!/^https?:/i.test(url)) return <span>{url}</span>;
	return (
		<a href={url} target="_blank" rel="noreferrer noopener">
			{url}
		</a>
	);
}

function CallFunction({ clientId }: { readonly clientId: string }) {
	const [method, setMethod] = useState("redirectClient");
	const [target, setTarget] = useState<string>();
	const [url, setUrl] = useState("https://example.com/checkout");
	const [key, setKey] = useState("");
	const body = {
		method,
		params: { input: { clientId: target ?? clientId, url } },
		context: { channel: { id: "console" }, caller: { id: "console", type: "system" } },
	};
	const signature = useSignature(JSON.stringify(body), key.trim());
	const headers = signature === undefined ? undefined : { "X-Signature": signature };
	return (
		<Sender
			title="Call the function"
			call={{ method: "PUT", path: "/functions", body, ...(headers && { headers }) }}
			says={(answer) => <FunctionAnswer answer={answer} />}
		>
			<Field label="Method" required value={method} onValue={setMethod} />
			<Field label="Client id" value={target ?? clientId} onValue={setTarget} />
			<Field
				label="URL"
				value={url}
				onValue={setUrl}
				hint="Its origin must be among the service's SSE_PUSH_REDIRECT_ORIGINS."
			/>
			<Field
				label="Signing key"
				type="password"
				autoComplete="off"
				placeholder="none"
				value={key}
				onValue={setKey}
				error={faultOf(key.trim())}
				hint={<SigningHint signature={signature} />}
			/>
		</Sender>
	);
}

function SigningHint({ signature }: { readonly signature: string | undefined }) {
	if (signature === undefined)
		return "The service's SSE_PUSH_FUNCTION_SIGNING_KEY, in hex, where it has one: what is not signed it refuses with 401.";
	return (
		<>
			The body is signed, base64 of HMAC-SHA256: <code>X-Signature: {signature}</code>. The key stays in this
			page.
		</>
	);
}

/** A function that failed is answered with 200 too, and says so in the body. */
function FunctionAnswer({ answer }: { readonly answer: unknown }) {
	const said = answer as {
		readonly result?: { readonly attributes?: { readonly message?: string } };
		readonly error?: { readonly type: string; readonly message: string };
	};
	if (said.error)
		return (
			<span className="failed">
				<Badge tone="bad">{said.error.type}</Badge> {said.error.message}
			</span>
		);
	return <>{said.result?.attributes?.message ?? shown(answer)}</>;
}
