// Topic `notifications`: what came, and a form that sends one.

import { useState } from "react";
import type { Notification } from "sse-push-client";
import type { Item } from "../live/items.ts";
import { Button, Choice, Field } from "../parts/controls.tsx";
import { shown, text, time } from "../parts/format.ts";
import { useDesk, useFeed } from "../parts/hooks.ts";
import { Icon, type IconName } from "../parts/icon.tsx";
import { List } from "../parts/list.tsx";
import { Long } from "../parts/long.tsx";
import { Empty, Page, type Tone } from "../parts/panels.tsx";
import { Sender } from "../parts/sender.tsx";

const USUAL = ["info", "info"] as const;
// A map, not an object: a publisher may call a type "constructor".
const LOOKS = new Map<string, readonly [Tone, IconName]>([
	["info", USUAL],
	["success", ["ok", "check"]],
	["warning", ["warn", "warn"]],
	["error", ["bad", "warn"]],
]);

export function NotificationsPage() {
	const { live } = useDesk();
	const items = useFeed(live.notifications);
	return (
		<Page
			title="Notifications"
			about="Messages for you or for everybody, newest first."
			actions={
				<Button icon="trash" disabled={!items.length} onClick={() => live.notifications.clear()}>
					Clear
				</Button>
			}
		>
			<div className="columns">
				<List
					label="Notifications"
					newest="top"
					usual={76}
					items={items}
					keyOf={(item) => item.seq}
					draw={(item) => <Note item={item} />}
					empty={
						<Empty icon="bell" title="Nothing yet">
							A notification shows here the moment that somebody sends one. Send yourself the first.
						</Empty>
					}
				/>
				<SendNotification />
			</div>
		</Page>
	);
}

function Note({ item }: { readonly item: Item<Notification> }) {
	const type = text(item.data, "type");
	const timestamp = text(item.data, "timestamp") || new Date(item.at).toISOString();
	const [tone, icon] = LOOKS.get(type) ?? USUAL;
	return (
		<article className="note" data-id={item.id}>
			<span className={`sign ${tone}`}>
				<Icon name={icon} size={17} />
			</span>
			<div>
				<h3 dir="auto">
					<span className="unseen">{type}: </span>
					{text(item.data, "title") || "Without a title"}
				</h3>
				<Long text={text(item.data, "message") || shown(item.data)} />
			</div>
			<time dateTime={timestamp}>{time(timestamp)}</time>
		</article>
	);
}

function SendNotification() {
	const { session } = useDesk();
	const [title, setTitle] = useState("Backup done");
	const [message, setMessage] = useState("All 42 volumes are safe.");
	const [type, setType] = useState<Notification["type"]>("success");
	const [to, setTo] = useState<"me" | "all" | "other">("me");
	const [user, setUser] = useState("");
	const whom = { me: { userId: session.who.id }, all: {}, other: { userId: user } }[to];
	const call = { method: "POST", path: "/notifications/send", body: { title, message, type, ...whom } };
	return (
		<Sender call={call} publishers>
			<Field label="Title" required value={title} onValue={setTitle} />
			<Field label="Message" required rows={2} value={message} onValue={setMessage} />
			<Choice
				label="Type"
				value={type}
				onValue={setType}
				options={[
					["info", "Info"],
					["success", "Success"],
					["warning", "Warning"],
					["error", "Error"],
				]}
			/>
			<Choice
				label="To"
				value={to}
				onValue={setTo}
				options={[
					["me", "Me"],
					["all", "Everybody"],
					["other", "A user"],
				]}
			/>
			{to === "other" && <Field label="User id" required value={user} onValue={setUser} />}
		</Sender>
	);
}
