// Signed in or not, and the one live connection that comes and goes with that.

import { useEffect, useState } from "react";
import { requests } from "./api/request.ts";
import { forgetRooms, Live } from "./live/live.ts";
import { forgetTurns } from "./pages/turns.ts";
import { DeskContext } from "./parts/hooks.ts";
import { forget, remember, remembered, type Session } from "./session/session.ts";
import { SignIn } from "./session/sign-in.tsx";
import { Shell } from "./shell/shell.tsx";

export function App() {
	const [session, setSession] = useState<Session | undefined>(remembered);
	const [why, setWhy] = useState<string>();
	const signIn = (session: Session) => {
		remember(session);
		setWhy(undefined);
		setSession(session);
	};
	const signOut = (why?: string) => {
		forget();
		forgetRooms();
		forgetTurns();
		requests.clear();
		setWhy(why);
		setSession(undefined);
	};
	if (session === undefined) return <SignIn why={why} onSession={signIn} />;
	return <SignedIn key={session.token} session={session} signOut={signOut} />;
}

interface SignedInProps {
	readonly session: Session;
	readonly signOut: (why?: string) => void;
}

function SignedIn({ session, signOut }: SignedInProps) {
	const [live, setLive] = useState<Live>();
	useEffect(() => {
		const live = new Live(session);
		setLive(live);
		return () => live.close();
	}, [session]);
	if (live === undefined) return null;
	return (
		<DeskContext value={{ session, live, signOut }}>
			<Shell />
		</DeskContext>
	);
}
