/**
 * What goes over the wire, as the service's own models have it.
 *
 * Written by scripts/client_types.py (`make client-types`); `make check` holds it to the models.
 */

/** The answer of one AI member, sent when it arrives. */
export interface AiResponse {
	type: "ai_response";
	content: string;
	aiName: string;
	aiId: string;
	personaId: number;
	timestamp: string;
}

/** What `POST /v1/app/push` takes and its user gets, as sent. */
export interface AppMessage {
	message: string;
	/** A number means its text: 42 is "42". */
	userId: string | number;
}

/** Push a message to one user. */
export interface AppPush {
	message: string;
	/** A number means its text: 42 is "42". */
	userId: string | number;
	[further: string]: unknown;
}

export interface ChatMessage {
	roomId: string;
	message: string;
	userId: string;
	username: string;
	timestamp: string;
}

/** Of this node's `/sse/connect` streams; `clientIds` only for an admin. */
export interface ClientStatus {
	connected: number;
	clients: number;
	clientIds?: string[];
}

/** The stream's first event. */
export interface Connected {
	/** The user the stream belongs to. */
	user_id: number;
	timestamp: string;
}

/** Do *action* with *payload*. */
export interface CustomEvent {
	type: "custom";
	action: string;
	payload?: unknown;
	timestamp: string;
}

export interface CustomTick {
	hello: string;
	customData: string;
	timestamp: string;
}

export interface EntityUpdate {
	entityType: string | number;
	entityId: string | number;
	action: "created" | "updated" | "deleted";
	data: unknown;
	timestamp: string;
}

/** The caller's new exp with an AI member; sent after all answers. */
export interface ExpUpdated {
	type: "exp_updated";
	personaId: number;
	personaName: string;
	newExp: number;
	newLevel: number;
	expIncrease: number;
	userId: string;
}

/** The data of `event: sse.expired`: the token has, or is not good any more, and the stream ends. */
export interface Expired {
	timestamp: string;
}

export interface Fault {
	/** Of the event in a list; 0 where there is none. */
	index: number;
	detail: string;
}

/** How things stand with another user: `requested` by the caller, `asked` of the caller, or `accepted`. */
export interface Friend {
	user_id: number;
	/** Absent until they have asked too: a number alone names nobody. */
	name?: string;
	state: "requested" | "asked" | "accepted";
}

/** The status of a friend. */
export interface FriendStatus {
	user_id: number;
	is_online: boolean;
	/** While online. */
	last_activity?: string;
	/** While offline; absent for one never seen. */
	last_seen?: string;
}

/** A call of a channel app function. */
export interface FunctionCall {
	method: "redirectClient";
	params: RedirectParams;
	/** Of the channel and its caller. */
	context?: Record<string, unknown>;
}

export interface FunctionError {
	error: FunctionFault;
}

export interface FunctionFault {
	type: "CLIENT_NOT_CONNECTED" | "METHOD_NOT_FOUND" | "INVALID_PARAMS" | "INTERNAL_ERROR" | "PARSE_ERROR" | "UNAUTHORIZED";
	message: string;
}

export interface FunctionResult {
	result: FunctionValue;
}

export interface FunctionValue {
	type: "string";
	attributes: Record<string, string>;
}

/** The data of `event: sse.gap`: what was missed can't be given in full. */
export interface Gap {
	reason: "expired" | "unknown";
	/** The `Last-Event-ID`. */
	requested: string;
	/** The id of the first event that follows; null where none does. */
	resumed_from: string | null;
}

export interface Health {
	status: "ok";
}

/** The user's own last activity is now. */
export interface Heartbeat {
	timestamp: string;
}

/** The status of every friend, by user id. Sent again, it replaces all statuses before it. */
export type Initial = Record<string, FriendStatus>;

/** A token for what the account may do. */
export interface LoggedIn {
	access_token: string;
	token_type: "bearer";
	/** Seconds. */
	expires_in: number;
}

export interface Login {
	email: string;
	password: string;
}

/** Topics of one stream. */
export interface ManyTopics {
	/** The topics. */
	topics: string[];
	/** The last id that was seen; the header `Last-Event-ID` wins. */
	lastEventId?: string;
}

/** One AI member can't answer; the others still can. */
export interface MemberFailed {
	type: "error";
	message: string;
	timestamp: string;
}

export interface Memory {
	rssBytes: number;
}

export interface NewUser {
	email: string;
	password: string;
	name: string;
	role?: Role;
}

export interface Notification {
	title: string;
	message: string;
	type: "info" | "success" | "warning" | "error";
	timestamp: string;
}

/** Show *message*. */
export interface NotificationEvent {
	type: "notification";
	message: string;
	timestamp: string;
}

export interface OpenConnections {
	total: number;
	byStream: Record<string, number>;
}

/** A problem document (RFC 9457). */
export interface Problem {
	type: string;
	title: string;
	status: number;
	detail: string;
	request_id: string;
	/** Of 429: `total`, `user`, `address`, `rate`, `login_account`, `login_address`, `logins` or `friends`. */
	limit?: string;
	/** Of 422: each fault. */
	errors?: Fault[];
	/** Of 503: whether what was to be published may have been; a retry with the same idempotency key is safe. */
	outcome?: "not_published" | "unknown";
}

export interface Published {
	/** The event's id: what `Last-Event-ID` takes. */
	id: string;
}

export interface PublishedList {
	/** In the order of the list. */
	ids: string[];
}

/**
 * One event to push, as `POST /v1/events` takes it and `emitter.emit("sse.push", ...)` too.
 *
 * Exactly one of `userId`, `userIds`, `room` and `broadcast` says who it is for.
 */
export interface PushEvent {
	/** Any JSON. Text goes out as that text, all else as compact JSON. */
	data: unknown;
	/** Where it belongs. */
	topic?: string;
	/** The frame's `event:` name. */
	event?: string;
	/** For one user. */
	userId?: string | number;
	/** For these users. */
	userIds?: (string | number)[];
	/** For a chat room; the topic is chat:ROOM. */
	room?: string | number;
	/** For everybody. */
	broadcast?: boolean;
	/** Seconds it may be replayed. */
	ttl?: number;
	/** Publishes once, however often sent. */
	key?: string;
}

/** Go to *url*. */
export interface RedirectEvent {
	type: "redirect";
	url: string;
	timestamp: string;
}

export interface RedirectInput {
	clientId: string | number;
	url: string;
}

export interface RedirectParams {
	input: RedirectInput;
}

export type Role = "user" | "admin" | "service";

/** An AI member of a room, with the caller's exp and level. */
export interface RoomMember {
	aiId: string;
	personaId: number;
	aiName: string;
	exp: number;
	level: number;
}

/** Say something in a room, and have its AI members answer. */
export interface SayToGroup {
	message: string;
	/** The caller's id. */
	sender: string | number;
	/** What the frames call the sender. */
	userName: string | number;
}

/** Say something in a room. */
export interface SendChat {
	roomId: string | number;
	message: string;
}

/** Notify some users, or all where none is named. */
export interface SendNotification {
	/** For this user. */
	userId?: string | number;
	/** For these users. */
	userIds?: (string | number)[];
	title: string;
	message: string;
	type: "info" | "success" | "warning" | "error";
}

/** A friend came online or went offline. */
export interface StatusChange {
	user_id: number;
	is_online: boolean;
	/** While online. */
	last_activity?: string;
	/** While offline; absent for one never seen. */
	last_seen?: string;
}

export interface SystemStatus {
	status: "ok" | "degraded" | "draining";
	version: string;
	nodeId: string;
	/** Seconds since this node started. */
	uptime: number;
	connections: OpenConnections;
	/** Deliveries since the start. */
	eventsSent: number;
	memory: Memory;
	timestamp: string;
}

/** Every AI member has answered or failed. */
export interface TurnComplete {
	type: "complete";
	message: string;
	timestamp: string;
}

/** Sent instead of `complete` if answers are missing. Late answers still reach the room. */
export interface TurnTimedOut {
	type: "timeout";
	message: string;
	timestamp: string;
}

/** Tell some users that an entity changed, or all where none is named. */
export interface UpdateEntity {
	/** For this user. */
	userId?: string | number;
	/** For these users. */
	userIds?: (string | number)[];
	entityType: string | number;
	entityId: string | number;
	action: "created" | "updated" | "deleted";
	data: unknown;
}

/** A user, as administrators see one. */
export interface User {
	/** A token's `sub` is its text. */
	id: number;
	email: string;
	name: string;
	role: Role;
	/** false: they can't log in. */
	active: boolean;
	created_at: string;
	last_seen?: string;
}

/** What to change of a user; what is not given stays. */
export interface UserChange {
	name?: string;
	password?: string;
	role?: Role;
	/** false: they can't log in any more. */
	active?: boolean;
}

/**
 * The user's message; the first frame.
 *
 * Attributes:
 *     sender: The name that the caller gave; `sender_id` is their user id.
 */
export interface UserMessage {
	type: "user_message";
	content: string;
	sender: string;
	senderId: string;
	timestamp: string;
}

/** The data of each stream of its own, by path. Publishers may send any JSON to the topics that take it. */
export interface StreamData {
	"/api/chat/rooms/{roomId}/group-sse": UserMessage | AiResponse | ExpUpdated | TurnComplete | TurnTimedOut | MemberFailed;
	"/api/presence/stream": Connected | Initial | StatusChange | Heartbeat;
	"/chat/stream": ChatMessage;
	"/custom/stream": CustomTick;
	"/notifications/stream": Notification;
	"/realtime/stream": EntityUpdate;
	"/sse/connect": RedirectEvent | NotificationEvent | CustomEvent;
	"/system/status/stream": SystemStatus;
	"/v1/app/sse": AppMessage;
	"/v1/app/sse/{userId}": AppMessage;
}

/** The data of each topic on `/v1/stream`; a room's topic is `chat:ROOM`. */
export interface TopicData {
	custom: CustomTick;
	system: SystemStatus;
	presence: Connected | Initial | StatusChange | Heartbeat;
	[room: `chat:${string}`]: ChatMessage;
	realtime: EntityUpdate;
	notifications: Notification;
	client: RedirectEvent | NotificationEvent | CustomEvent;
	app: AppMessage;
}
