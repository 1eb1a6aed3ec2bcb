// A page that breaks takes neither the others nor the connection with it.

import { Component, type ReactNode } from "react";
import { Button } from "./controls.tsx";
import { Notice } from "./panels.tsx";

interface GuardProps {
	readonly children: ReactNode;
}

export class Guard extends Component<GuardProps, { broken: string | undefined }> {
	override state = { broken: undefined };

	static getDerivedStateFromError(error: unknown) {
		return { broken: error instanceof Error ? error.message : String(error) };
	}

	override render() {
		if (this.state.broken === undefined) return this.props.children;
		const again = (
			<Button small onClick={() => this.setState({ broken: undefined })}>
				Show it again
			</Button>
		);
		return (
			<div className="page" role="alert">
				<Notice tone="bad" actions={again}>
					<b>This page broke; the others work</b>
					<p>{this.state.broken}</p>
				</Notice>
			</div>
		);
	}
}
