// Text that somebody else has written, of any length and direction: as much as one reads at a glance, the rest on demand.

import { useState } from "react";
import { Button } from "./controls.tsx";
import { count } from "./format.ts";

const GLANCE = 600; // characters: some ten lines

export function Long({ text }: { readonly text: string }) {
	const [whole, setWhole] = useState(false);
	if (text.length <= GLANCE) return <p dir="auto">{text}</p>;
	return (
		<>
			<p dir="auto">{whole ? text : `${text.slice(0, GLANCE)}…`}</p>
			<Button small onClick={() => setWhole(!whole)} aria-expanded={whole}>
				{whole ? "Show less" : `Show all ${count(text.length)} characters`}
			</Button>
		</>
	);
}
