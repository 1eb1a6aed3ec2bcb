// What goes over the wire: the frames of the shared connection, those of any other stream, and the requests of this tab.

import { useState } from "react";
import { Choice } from "../parts/controls.tsx";
import { Page } from "../parts/panels.tsx";
import { Frames } from "./frames.tsx";
import { OwnStream } from "./own-stream.tsx";
import { Requests } from "./requests.tsx";

type View = "frames" | "stream" | "requests";

const VIEWS = { frames: Frames, stream: OwnStream, requests: Requests };

export function InspectorPage() {
	const [view, setView] = useState<View>("frames");
	const Shown = VIEWS[view];
	return (
		<Page
			title="Inspector"
			about="What goes over the wire, as it is."
			actions={
				<Choice
					label="What to look at"
					hideLabel
					value={view}
					onValue={setView}
					options={[
						["frames", "Connection"],
						["stream", "Any stream"],
						["requests", "Requests"],
					]}
				/>
			}
		>
			<Shown />
		</Page>
	);
}
