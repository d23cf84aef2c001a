import { ref } from 'vue';
import { exchangeOperatorKey, readClaims } from '../api/rest';
import { memory } from './memory';

/** Whether an operator is at this browser: the token that lives 12 hours, or null. */
export const operatorToken = ref(unexpired(memory.operatorToken()));

export async function signIn(key: string): Promise<void> {
  const answer = await exchangeOperatorKey(key);
  operatorToken.value = answer.token;
  memory.rememberOperatorToken(answer.token);
}

export function signOut(): void {
  operatorToken.value = null;
  memory.rememberOperatorToken(null);
}

function unexpired(token: string | null): string | null {
  const claims = token === null ? null : readClaims(token);
  return claims !== null && claims.exp * 1000 > Date.now() ? token : null;
}
