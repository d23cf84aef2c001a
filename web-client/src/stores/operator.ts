import { defineStore } from 'pinia';
import { ref } from 'vue';
import { exchangeOperatorKey, readClaims } from '../api/rest';
import { memory } from '../live/memory';

/** Whether an operator is at this browser; the token lives 12 hours. */
export const useOperator = defineStore('operator', () => {
  const token = ref(unexpired(memory.operatorToken()));

  async function signIn(key: string): Promise<void> {
    const answer = await exchangeOperatorKey(key);
    token.value = answer.token;
    memory.rememberOperatorToken(answer.token);
  }

  function signOut(): void {
    token.value = null;
    memory.rememberOperatorToken(null);
  }

  return { token, signIn, signOut };
});

function unexpired(token: string | null): string | null {
  const claims = token === null ? null : readClaims(token);
  return claims !== null && claims.exp * 1000 > Date.now() ? token : null;
}
