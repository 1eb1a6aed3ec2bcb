// Where the console begins.
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./app.tsx";
import "./styles/base.css";
import "./styles/shell.css";
import "./styles/status-bar.css";
import "./styles/sign-in.css";
import "./styles/controls.css";
import "./styles/parts.css";
import "./styles/lists.css";
import "./styles/charts.css";
import "./styles/conversation.css";
import "./styles/pages.css";
import { applyTheme, rememberedTheme } from "./session/theme.ts";

applyTheme(rememberedTheme());
createRoot(document.getElementById("root") as HTMLElement).render(
	<StrictMode>
		<App />
	</StrictMode>,
);
