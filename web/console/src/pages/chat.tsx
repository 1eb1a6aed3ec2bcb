// Topics `chat:ROOM`: rooms to enter and leave, their messages, a line to write in.

import { type FormEvent, useState } from "react";
import type { ChatMessage } from "sse-push-client";
import type { Item } from "../live/items.ts";
import { Button, Field } from "../parts/controls.tsx";
import { sentence, shown, text, time } from "../parts/format.ts";
import { useCell, useDesk, useFeed, useTotal } from "../parts/hooks.ts";
import { List } from "../parts/list.tsx";
import { Long } from "../parts/long.tsx";
import { Card, Empty, Notice, Page } from "../parts/panels.tsx";
import { Sender } from "../parts/sender.tsx";

export function ChatPage() {
	const { live } = useDesk();
	const rooms = useCell(live.rooms);
	const [chosen, setRoom] = useState<string>();
	const room = chosen !== undefined && rooms.includes(chosen) ? chosen : rooms[0];
	return (
		<Page title="Chat" about="Everybody in a room sees what is said there.">
			<div className="columns">
				{room === undefined ? (
					<div className="list-box vacant">
						<Empty icon="chat" title="You are in no room">
							Enter one by its name. It need not exist yet.
						</Empty>
					</div>
				) : (
					<Messages key={room} room={room} />
				)}
				<div className="stack">
					{room !== undefined && <Say key={room} room={room} />}
					<Rooms rooms={rooms} room={room} onRoom={setRoom} />
				</div>
			</div>
		</Page>
	);
}

function Messages({ room }: { readonly room: string }) {
	const { live, session } = useDesk();
	const items = useFeed(live.chat(room));
	return (
		<List
			label={`Messages in ${room}`}
			newest="bottom"
			usual={64}
			items={items}
			keyOf={(item) => item.seq}
			draw={(item) => <Message item={item} mine={text(item.data, "userId") === session.who.id} />}
			empty={
				<Empty icon="chat" title={`It is quiet in ${room}`}>
					Nobody has said anything since you came in. Say hello.
				</Empty>
			}
		/>
	);
}

function Message({ item, mine }: { readonly item: Item<ChatMessage>; readonly mine: boolean }) {
	const timestamp = text(item.data, "timestamp") || new Date(item.at).toISOString();
	return (
		<article className={mine ? "message mine" : "message"} data-id={item.id}>
			<h3>
				<bdi>{mine ? "You" : text(item.data, "username") || text(item.data, "userId") || "Somebody"}</bdi>
				<time dateTime={timestamp}>{time(timestamp)}</time>
			</h3>
			<Long text={text(item.data, "message") || shown(item.data)} />
		</article>
	);
}

function Say({ room }: { readonly room: string }) {
	const [message, setMessage] = useState("");
	const call = {
		method: "POST",
		path: "/chat/send",
		body: { roomId: room, message: message || "Hello from the console" },
	};
	return (
		<Sender title={`Say something in ${room}`} call={call} onSent={() => setMessage("")}>
			<Field
				label="Message"
				rows={2}
				value={message}
				onValue={setMessage}
				placeholder="Hello from the console"
			/>
		</Sender>
	);
}

interface RoomsProps {
	readonly rooms: readonly string[];
	readonly room: string | undefined;
	readonly onRoom: (room: string) => void;
}

function Rooms({ rooms, room, onRoom }: RoomsProps) {
	const { live } = useDesk();
	const refused = useCell(live.refused);
	const [name, setName] = useState("");
	const join = (event: FormEvent) => {
		event.preventDefault();
		const wanted = name.trim();
		if (!wanted) return;
		live.join(wanted);
		onRoom(wanted);
		setName("");
	};
	return (
		<Card title="Rooms">
			<ul className="rooms">
				{rooms.map((one) => (
					<li key={one}>
						<button type="button" aria-pressed={one === room} onClick={() => onRoom(one)}>
							<span>{one}</span>
							<RoomCount room={one} />
						</button>
						<Button
							look="quiet"
							small
							icon="cross"
							aria-label={`Leave ${one}`}
							onClick={() => live.leave(one)}
						/>
					</li>
				))}
			</ul>
			<form className="inline" onSubmit={join}>
				<Field label="Enter a room" value={name} onValue={setName} maxLength={128} placeholder="room name" />
				<Button type="submit" icon="plus">
					Enter
				</Button>
			</form>
			<div role="alert">
				{refused && (
					<Notice tone="bad" onClose={() => live.refused.set(undefined)}>
						<b>{refused.room} is not open to you</b>
						<p>{sentence(refused.why)}</p>
					</Notice>
				)}
			</div>
		</Card>
	);
}

function RoomCount({ room }: { readonly room: string }) {
	const { live } = useDesk();
	const total = useTotal(live.chat(room));
	return <small>{total > 0 ? total : ""}</small>;
}
