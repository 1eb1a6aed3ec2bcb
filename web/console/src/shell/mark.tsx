// The name and its sign.

export function Mark({ size = 28 }: { readonly size?: number }) {
	return (
		<span className="mark">
			<svg width={size} height={size} viewBox="0 0 32 32" aria-hidden="true" focusable="false">
				<rect width="32" height="32" rx="8" />
				<path d="M5 16h6l3.5-8 4 16 3-8H27" />
			</svg>
			<span>sse-push</span>
		</span>
	);
}
