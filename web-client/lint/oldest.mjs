// The oldest browsers that the pages are built for, and what newer ones have that the pages use where it is there.

/** Under their names in MDN's compatibility data. */
export const OLDEST = { chrome: 87, firefox: 102 };

/** What is newer in one of them: what the pages do without it. */
export const FALLBACKS = {
  '.ManagedMediaSource': 'hls.js takes it only where there is no MediaSource, as on telephones of Apple',
  '.connectionState': 'Firefox before 113: watched as iceConnectionState (src/media)',
  '.contentHint': 'no Firefox: set only where tracks have it',
  '.createPolicy': 'no trusted types: Vue takes strings as they are',
  '.disableRemotePlayback': 'hls.js sets it with ManagedMediaSource alone',
  '.enumerateDevices': 'Firefox before 116 lists no loudspeakers, which nobody chooses here',
  '.jitterBufferTarget': 'before Chrome 124 it has another name, in Firefox before 115 none: set only where receivers have it',
  '.randomUUID': 'hls.js takes the name of an object URL without it',
  '.removedRanges': 'comes with ManagedMediaSource alone',
  '.startViewTransition': 'Vue Router asks for it first, and only where a route wants it, which none does',
  '.wakeLock': 'the screen may fall asleep, as it does without the page',
  MathMLElement: 'Vue asks for its type first',
  outline: 'before Chrome 94 it has no round corners',
};

/** Names of Vue's and hls.js's own fields that browsers have for other things, and newer ones. */
export const OWN = ['.displayName', '.identity', '.number'];
